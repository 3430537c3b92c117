#!/usr/bin/python3
"""Readers of streams as a test needs them: very many, or one that does not read.

  streams.py many URL TOKEN COUNT     opens COUNT streams of the audit log, each with a filter; says "open", waits for a line on its standard
                                      input, and holds what came against it: each has every row of tenant.create, once and in order
  streams.py slow URL TOKEN RUN_DIR   opens one on the daemon's own socket, where the front's buffers are not between them; reads its first
                                      event and nothing more while rows come, more than its backlog; then reads the rest and prints how
                                      it ended and the row it ended with
  streams.py listen URL COUNT         opens COUNT GET streams of an MCP endpoint at once, with the key in API_KEY; says how often each status came
                                      when all are answered, reads until every open one has brought a change of the list of tools, and says
                                      how many did
"""

import collections
import http.client
import json
import os
import resource
import selectors
import re
import socket
import struct
import sys
import threading
import time
import urllib.parse

PATIENCE_S = 60
PATIENCE_AT_ONCE_S = 120


def connect(url, path, token):
    """A socket that has asked for the stream."""
    at = urllib.parse.urlsplit(url)
    sock = socket.create_connection((at.hostname, at.port))
    sock.sendall((f"GET {path} HTTP/1.1\r\nHost: {at.netloc}\r\nAuthorization: Bearer {token}\r\nAccept: text/event-stream\r\n"
                  "Connection: close\r\n\r\n").encode())
    return sock


def allow_many():
    """As many sockets as the system lets us have."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def ticket(run_dir, token):
    """What the application tells a front: where to fetch the stream. One FastCGI request (type 1, 4, 5; answers are of type 6)."""
    params = {"REQUEST_METHOD": "GET", "REQUEST_URI": "/v1/admin/audit/stream", "QUERY_STRING": "", "SERVER_PROTOCOL": "HTTP/1.1",
              "REMOTE_ADDR": "127.0.0.1", "HTTP_AUTHORIZATION": f"Bearer {token}"}
    body = b"".join(struct.pack("BB", len(name), len(value)) + name.encode() + value.encode() for name, value in params.items())
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(f"{run_dir}/fcgi.sock")
    for kind, content in ((1, struct.pack(">HB5x", 1, 0)), (4, body), (4, b""), (5, b"")):
        sock.sendall(struct.pack(">BBHHBx", 1, kind, 1, len(content), 0) + content)
    answer = b""
    while piece := sock.recv(65536):
        answer += piece
    return re.search(rb"X-Accel-Redirect: (\S+)", answer).group(1).decode()


class Reader:
    def __init__(self, sock):
        self.sock, self.text, self.ended = sock, b"", False

    def read(self):
        piece = self.sock.recv(65536)
        self.text += piece
        self.ended = not piece

    def status(self):
        return self.text.split(b" ", 2)[1].decode() if b"\r\n\r\n" in self.text else ""

    def told(self):
        return b"notifications/tools/list_changed" in self.text

    def started(self):
        return b"event: start\n" in self.text

    def rows(self):
        return [json.loads(line[6:]) for line in self.text.split(b"\n") if line.startswith(b'data: {"v":1')]


def wait(selector, done, what, may_end=False, patience=PATIENCE_S):
    """Reads what comes until done()."""
    until = time.monotonic() + patience
    while not done():
        if time.monotonic() > until:
            sys.exit(f"waited too long for {what}")
        for key, _ in selector.select(0.2):
            key.data.read()
            if key.data.ended and not may_end:
                sys.exit(f"a stream ended: {key.data.text[-300:]!r}")
            if key.data.ended:
                selector.unregister(key.data.sock)


def many(url, token, count):
    allow_many()
    selector, readers = selectors.DefaultSelector(), []
    for first in range(0, count, 32):
        for _ in range(first, min(first + 32, count)):
            reader = Reader(connect(url, "/v1/admin/audit/stream?event=tenant.create", token))
            selector.register(reader.sock, selectors.EVENT_READ, reader)
            readers.append(reader)
        wait(selector, lambda: all(reader.started() for reader in readers), "the streams to begin")
    print("open", flush=True)
    told = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.readline(), told.set()), daemon=True).start()
    wait(selector, told.is_set, "the word to go on")
    wait(selector, lambda: all(b'"target":"t_last"' in reader.text for reader in readers), "the last row")
    first = [row["seq"] for row in readers[0].rows()]
    if first != sorted(set(first)) or any([row["seq"] for row in reader.rows()] != first for reader in readers):
        sys.exit("not all have the same rows")
    print(f"{len(readers)} streams, {len(first)} rows each")


def slow(url, token, run_dir):
    reader = Reader(socket.socket(socket.AF_UNIX))
    reader.sock.connect(f"{run_dir}/audit.sock")
    reader.sock.sendall(f"GET {ticket(run_dir, token)} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    while not reader.started():
        reader.read()
    at = urllib.parse.urlsplit(url)
    refused = http.client.HTTPConnection(at.hostname, at.port)
    # Rows of 250 bytes: several times what the socket (208 KiB) and the backlog (16 KiB) hold.
    for _ in range(3000):
        refused.request("GET", "/v1/admin/status", headers={"Authorization": "Bearer wrong"})
        refused.getresponse().read()
    while not reader.ended:
        reader.read()
    seqs = [row["seq"] for row in reader.rows()]
    whole = seqs == list(range(seqs[0], seqs[0] + len(seqs)))
    last = reader.text.strip().split(b"\n\n")[-1].decode()
    print(json.dumps({"whole": whole, "last_row": seqs[-1], "last_event": last.split("\n")}))


def listen(url, count):
    allow_many()
    key = os.environ["API_KEY"]
    selector = selectors.DefaultSelector()
    readers = [Reader(connect(url, urllib.parse.urlsplit(url).path, key)) for _ in range(count)]
    for reader in readers:
        selector.register(reader.sock, selectors.EVENT_READ, reader)
    wait(selector, lambda: all(reader.status() or reader.ended for reader in readers), "the answers", True, PATIENCE_AT_ONCE_S)
    print(json.dumps(collections.Counter(reader.status() for reader in readers)), flush=True)
    opened = [reader for reader in readers if reader.status() == "200"]
    wait(selector, lambda: all(reader.told() or reader.ended for reader in opened), "the change", True, PATIENCE_AT_ONCE_S)
    print(sum(reader.told() for reader in opened), flush=True)


match sys.argv[1]:
    case "many":
        many(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    case "slow":
        slow(*sys.argv[2:5])
    case "listen":
        listen(sys.argv[2], int(sys.argv[3]))
