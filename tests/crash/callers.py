"""Those who ask a control plane all the time, and remember each answer that came whole; and those who watch its log."""

import hashlib
import http.client
import json
import random
import threading
import time

from programs import HOST, KEY, PORT, SUBJECT, TOKEN

OLD_TENANTS = 12  # they have rows from before


class Caller(threading.Thread):
    def __init__(self, number, over):
        super().__init__(daemon=True)
        self.number, self.over, self.answers, self.broken = number, over, [], 0
        self.connection = None

    def exchange(self, method, path, body, headers):
        """(status, request id, bytes) of a whole answer, or None."""
        try:
            if not self.connection:
                self.connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=30)
            self.connection.request(method, path, body and json.dumps(body), dict(headers, Host=HOST))
            answer = self.connection.getresponse()
            text = answer.read()
            if text:
                json.loads(text)
            return answer.status, answer.headers.get("X-Request-Id"), text
        except (OSError, http.client.HTTPException, ValueError):
            self.broken += 1
            if self.connection:
                self.connection.close()
            self.connection = None
            return None

    def run(self):
        turn = 0
        while not self.over.is_set():
            turn += 1
            answer = self.ask(turn)
            if answer:
                self.answers.append(answer)
            if not answer or answer["status"] >= 500:
                self.over.wait(0.05)


class Agent(Caller):
    good = 0  # answers of all agents
    last_good = 0.0

    def __init__(self, number, over, slug="fintech", key=KEY):
        super().__init__(number, over)
        self.path, self.key = f"/mcp/{slug}", key

    def ask(self, turn):
        mark = self.number * 10_000_000 + turn
        began = time.monotonic()
        got = self.exchange("POST", self.path, {
            "jsonrpc": "2.0", "id": mark, "method": "tools/call",
            "params": {"name": "execute_sql", "arguments": {"subject_id": SUBJECT, "sql": f"SELECT {mark} AS n"}}},
            {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json", "Accept": "application/json"})
        if not got:
            return None
        status, request_id, text = got
        body = json.loads(text)
        result, error = body.get("result"), body.get("error") or {}
        right = body.get("id") == mark if "id" in body else True
        if status == 200 and result and not result.get("isError"):
            right = right and result["structuredContent"]["rows"] == [[mark]]
            Agent.good += 1
            Agent.last_good = max(Agent.last_good, began)
        return {"kind": "call", "status": status, "request_id": request_id, "right": right,
                "code": (error.get("data") or {}).get("code") or body.get("code"),
                "outcome": None if not result else "tool_error" if result.get("isError") else "ok",
                "sha256": hashlib.sha256(text).hexdigest() if result else None}


class Operator(Caller):
    """Makes tenants and keys and takes keys away, in turn. Half of the tenants are made with an Idempotency-Key, and
    asked for until there is an answer; what is refused is left at that. Old tenants get a rule for how long their rows
    are kept, one after the other as it goes on."""

    def __init__(self, number, over, progress=lambda: 0.0):
        super().__init__(number, over)
        self.progress = progress  # 0 to 1
        self.tenant = self.key = None  # what was made last
        self.rules = 0  # old tenants that have one

    def change(self, event, method, path, body=None, once=None):
        """One that is of `event` when it is acknowledged; None when no whole answer came."""
        got = self.exchange(method, path, body, {"Authorization": f"Bearer {TOKEN}", **(
            {"Content-Type": "application/json"} if body else {}), **({"Idempotency-Key": once} if once else {})})
        if not got:
            return None
        status, request_id, text = got
        body = json.loads(text) if text else {}
        return {"kind": event, "status": status, "request_id": request_id, "right": True, "code": body.get("code"),
                "outcome": None, "target": body.get("id")}

    def make_tenant(self, slug, once):
        while True:
            answer = self.change("tenant.create", "POST", "/v1/admin/tenants", {"slug": slug, "name": slug}, once)
            if answer:
                answer.update(slug=slug, once=once)
            if not once or self.over.is_set() or (answer and answer["status"] < 500):
                break
            self.over.wait(0.05)
        if answer and answer["status"] == 201:
            self.tenant = answer["target"]
        return answer

    def set_rule(self):
        answer = self.change("tenant.keep", "PATCH", f"/v1/admin/tenants/t_old-{self.rules + 1}", {"audit_keep_days": 1})
        if answer and answer["status"] == 200:
            self.rules += 1
        return answer

    def ask(self, turn):
        self.over.wait(0.1)
        if self.rules < OLD_TENANTS and self.progress() * (OLD_TENANTS + 1) > self.rules + 1:
            return self.set_rule()
        step = turn % 4
        if step == 2 and self.tenant:
            answer = self.change("key.create", "POST", f"/v1/admin/tenants/{self.tenant}/keys", {"name": "key"})
            self.key = (self.tenant, answer["target"]) if answer and answer["status"] == 201 else None
            return answer
        if step == 3 and self.key:
            tenant, key = self.key
            answer = self.change("key.revoke", "DELETE", f"/v1/admin/tenants/{tenant}/keys/{key}")
            if answer:
                answer["target"] = key
            if answer and answer["status"] == 204:
                self.key = None
            return answer
        slug = f"crash-{self.number}-{turn}"
        return self.make_tenant(slug, f"once-{slug}" if step == 1 else None)


def row_number(line):
    """None: it is no row."""
    try:
        return json.loads(line)["seq"]
    except (ValueError, KeyError, TypeError):
        return None


class Watcher(threading.Thread):
    """Follows the audit log's stream from behind a row on, whatever happens, coming back with the id of the last event
    that came whole. It also leaves by itself now and then."""

    def __init__(self, query, after, seed, over):
        super().__init__(daemon=True)
        self.query, self.last, self.rng, self.over = query, after, random.Random(seed), over
        self.rows, self.opened, self.faults = [], 0, []  # rows: (seq, SHA-256 of the line)

    def run(self):
        while not self.over.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=5)
            try:
                connection.request("GET", f"/v1/admin/audit/stream?{self.query}", headers={
                    "Host": HOST, "Authorization": f"Bearer {TOKEN}", "Last-Event-ID": str(self.last)})
                answer = connection.getresponse()
                if answer.status == 200:
                    self.opened += 1
                    self.read(answer, self.rng.randint(1, 4000))
            except (OSError, http.client.HTTPException):
                pass
            finally:
                connection.close()
            self.over.wait(0.05)

    def read(self, answer, limit):
        event = {}
        while limit > 0 and not self.over.is_set():
            line = answer.readline()
            if not line.endswith(b"\n"):
                return
            name, _, value = line.rstrip(b"\n").partition(b": ")
            if name:
                event[name] = value
            elif event:
                self.take(event)
                event = {}
                limit -= 1

    def take(self, event):
        if b"event" not in event and b"data" in event:
            seq = int(event[b"id"])
            if row_number(event[b"data"]) != seq or seq <= self.last:
                self.faults.append(f"row {seq} as event {event[b'id'].decode()} behind {self.last}")
            self.rows.append((seq, hashlib.sha256(event[b"data"]).digest()))
        if b"id" in event:
            self.last = int(event[b"id"])
