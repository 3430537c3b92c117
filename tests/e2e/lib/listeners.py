#!/usr/bin/python3
"""listeners.py URL COUNT: opens COUNT GET streams at once, with the key in API_KEY. Says how often each status came when all are answered, then
reads until every open one has brought a change of the list of tools, and says how many did."""

import collections
import json
import os
import resource
import selectors
import socket
import sys
import time
import urllib.parse

PATIENCE_S = 120


class Listener:
    def __init__(self, at, key):
        self.sock = socket.create_connection((at.hostname, at.port))
        self.sock.sendall((f"GET {at.path} HTTP/1.1\r\nHost: {at.netloc}\r\nAuthorization: Bearer {key}\r\n"
                           "Accept: text/event-stream\r\n\r\n").encode())
        self.head, self.text, self.ended = b"", b"", False

    def read(self):
        piece = self.sock.recv(65536)
        self.ended = not piece
        self.text += piece
        if not self.head and b"\r\n\r\n" in self.text:
            self.head, self.text = self.text.split(b"\r\n\r\n", 1)

    def status(self):
        return self.head.split(b" ")[1].decode() if self.head else ""

    def told(self):
        return b"notifications/tools/list_changed" in self.text


def read_until(selector, done, what):
    until = time.monotonic() + PATIENCE_S
    while not done():
        if time.monotonic() > until:
            sys.exit(f"waited too long for {what}")
        for key, _ in selector.select(0.2):
            key.data.read()
            if key.data.ended:
                selector.unregister(key.data.sock)


def main(url, count):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    selector = selectors.DefaultSelector()
    listeners = [Listener(urllib.parse.urlsplit(url), os.environ["API_KEY"]) for _ in range(count)]
    for listener in listeners:
        selector.register(listener.sock, selectors.EVENT_READ, listener)
    read_until(selector, lambda: all(listener.status() or listener.ended for listener in listeners), "the answers")
    print(json.dumps(collections.Counter(listener.status() for listener in listeners)), flush=True)
    opened = [listener for listener in listeners if listener.status() == "200"]
    read_until(selector, lambda: all(listener.told() or listener.ended for listener in opened), "the change")
    print(sum(listener.told() for listener in opened), flush=True)


main(sys.argv[1], int(sys.argv[2]))
