"""Kills, stops and starves the programs of a control plane under load, again and again, and then holds what its
callers were told against its audit log.

    campaign.py --crashes N --seconds LIMIT --seed S

The stack is that of tests/e2e/lib/stack.bash (STACK, BIN, URL, ... in the environment), configured and not running. A
supervisor here starts its programs and starts each again when it ends, as a service manager does: what is left of a
program's process group is killed first. Agents call a tool, and an operator creates tenants, all the time.

At the end:
  - each answer of a call that an agent received has exactly one row with its request id, of the same outcome, and the
    answer is that of its own question;
  - each refusal for want of the tunnel daemon has exactly one row, and for want of the journal at most one (it waits in
    memory, which a kill may take);
  - each tenant whose creation was acknowledged is there, with one row;
  - the chain of the whole log verifies.
After each crash an agent must get an answer again within RECOVERY seconds.
"""

import argparse
import collections
import glob
import http.client
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time

STACK, BIN, URL = os.environ["STACK"], os.environ["BIN"], os.environ["URL"]
LOG, STATE, AUDIT = os.environ["LOG"], os.environ["STATE"], os.environ["AUDIT"]
PORT = int(os.environ["PORT"])
KEY, TOKEN, SUBJECT = os.environ["KEY"], os.environ["OPERATOR_TOKEN"], os.environ["SUBJECT"]
CONTROL = os.environ["FAULT_CONTROL"]
DISK = os.environ.get("DISK")  # a small file system of its own under the state, or none
AGENTS = 6
RECOVERY = 30
EVER = threading.Event()  # set when it is over


class Program(threading.Thread):
    """One program, kept running."""

    def __init__(self, name, argv, env):
        super().__init__(daemon=True)
        self.name, self.argv, self.env = name, argv, env
        self.process, self.ending, self.starts = None, False, 0
        self.up = threading.Event()

    def run(self):
        while not self.ending:
            with open(f"{LOG}/{self.name}.log", "ab") as log:
                self.process = subprocess.Popen(self.argv, env=self.env, stdin=subprocess.DEVNULL, stdout=log,
                                                stderr=log, start_new_session=True)
            self.starts += 1
            began = time.monotonic()
            self.up.set()
            self.process.wait()
            self.up.clear()
            self.signal_group(signal.SIGKILL)
            if not self.ending and time.monotonic() - began < 0.1:
                time.sleep(0.1)  # a program that ends at once is not started in a tight loop

    def signal_group(self, number):
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            pass

    def children(self):
        try:
            with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children") as f:
                return [int(pid) for pid in f.read().split()]
        except OSError:
            return []

    def end(self):
        self.ending = True
        if self.process and self.process.poll() is None:
            self.signal_group(signal.SIGCONT)
            self.process.terminate()
        self.join(40)
        if self.is_alive():
            self.signal_group(signal.SIGKILL)
            self.join(5)


def programs():
    with open(f"{STACK}/env") as f:
        env = dict(line.rstrip("\n").split("=", 1) for line in f if "=" in line)
    faulty = dict(env, LD_PRELOAD=os.environ["FAULT_SO"], FAULT_CONTROL=CONTROL, FAULT_FILE="audit.jsonl",
                  ASAN_OPTIONS="verify_asan_link_order=0")
    worker = f"{STACK}/workers/worker-fintech/airlock.yaml"
    front = ["nginx", "-c", f"{STACK}/front/conf", "-p", f"{STACK}/front", "-e", f"{LOG}/front.log", "-g", "daemon off;"]
    return {p.name: p for p in (
        Program("tunneld", [f"{BIN}/airlock-tunneld"], faulty),
        Program("fcgi-app", [f"{BIN}/airlock-fcgi-app"], env),
        Program("front", front, env),
        Program("worker", [f"{BIN}/airlock-worker", "run", "--config", worker],
                dict(env, DATABASE_URL=os.environ["DATABASE_URL"])))}


# --- callers ------------------------------------------------------------------------

class Caller(threading.Thread):
    """Asks all the time, and remembers each answer that came whole."""

    def __init__(self, number):
        super().__init__(daemon=True)
        self.number, self.answers, self.broken = number, [], 0
        self.connection = None

    def exchange(self, method, path, body, headers):
        """(status, request id, JSON) of a whole answer, or None."""
        try:
            if not self.connection:
                self.connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=30)
            self.connection.request(method, path, json.dumps(body), dict(headers, Host=URL.split("//")[1]))
            answer = self.connection.getresponse()
            text = answer.read()
            return answer.status, answer.headers.get("X-Request-Id"), json.loads(text)
        except (OSError, http.client.HTTPException, ValueError):
            self.broken += 1
            if self.connection:
                self.connection.close()
            self.connection = None
            return None

    def run(self):
        turn = 0
        while not EVER.is_set():
            turn += 1
            answer = self.ask(turn)
            if answer:
                self.answers.append(answer)
            if not answer or answer["status"] >= 500:
                EVER.wait(0.05)


class Agent(Caller):
    good = 0  # answers of all agents
    last_good = 0.0

    def ask(self, turn):
        mark = self.number * 10_000_000 + turn
        began = time.monotonic()
        got = self.exchange("POST", "/mcp/fintech", {
            "jsonrpc": "2.0", "id": mark, "method": "tools/call",
            "params": {"name": "execute_sql", "arguments": {"subject_id": SUBJECT, "sql": f"SELECT {mark} AS n"}}},
            {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json", "Accept": "application/json"})
        if not got:
            return None
        status, request_id, body = got
        result, error = body.get("result"), body.get("error") or {}
        right = body.get("id") == mark if "id" in body else True
        if status == 200 and result and not result.get("isError"):
            right = right and result["structuredContent"]["rows"] == [[mark]]
            Agent.good += 1
            Agent.last_good = max(Agent.last_good, began)
        return {"kind": "call", "status": status, "request_id": request_id, "right": right,
                "code": (error.get("data") or {}).get("code") or body.get("code"),
                "outcome": None if not result else "tool_error" if result.get("isError") else "ok"}


class Operator(Caller):
    def ask(self, turn):
        slug = f"crash-{self.number}-{turn}"
        got = self.exchange("POST", "/v1/admin/tenants", {"slug": slug, "name": slug},
                            {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"})
        EVER.wait(0.1)
        return got and {"kind": "tenant", "status": got[0], "request_id": got[1], "right": True, "slug": slug,
                        "code": got[2].get("code"), "outcome": None}


# --- faults ---------------------------------------------------------------------------

class Faults:
    def __init__(self, stack, rng):
        self.stack, self.rng, self.count = stack, rng, collections.Counter()

    def victims(self):
        """(name, pid) of every process there is."""
        for program in self.stack.values():
            if program.up.is_set():
                yield program.name, program.process.pid
                for pid in program.children():
                    yield f"{program.name} child", pid

    def choose(self):
        found = collections.defaultdict(list)
        for name, pid in self.victims():
            found[name].append(pid)
        name = self.rng.choice(sorted(found))
        return name, self.rng.choice(found[name])

    def kill(self):
        name, pid = self.choose()
        try:
            os.kill(pid, signal.SIGKILL)
            self.count[f"kill {name}"] += 1
        except ProcessLookupError:
            pass

    def freeze(self):
        name, pid = self.choose()
        try:
            os.kill(pid, signal.SIGSTOP)
            EVER.wait(self.rng.uniform(0.02, 0.6))
            self.count[f"stop {name}"] += 1
            if self.rng.random() < 0.3:
                os.kill(pid, signal.SIGKILL)
                self.count[f"kill {name}"] += 1
            os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            pass

    def failing_disk(self):
        word = self.rng.choice(["enospc", "eio", "sync"])
        with open(CONTROL, "w") as f:
            f.write(word)
        self.count[f"disk {word}"] += 1
        EVER.wait(self.rng.uniform(0.02, 0.5))
        if self.rng.random() < 0.3:
            self.kill()
        os.remove(CONTROL)

    def full_disk(self):
        filler = f"{DISK}/filler"
        with open(filler, "wb", buffering=0) as f:
            try:
                while True:
                    f.write(b"\0" * 65536)
            except OSError:
                pass
        self.count["disk full"] += 1
        EVER.wait(self.rng.uniform(0.05, 0.7))
        if self.rng.random() < 0.3:
            self.kill()
        os.remove(filler)

    def one(self):
        kinds = [(self.kill, 70), (self.freeze, 12), (self.failing_disk, 12)] + ([(self.full_disk, 6)] if DISK else [])
        self.rng.choices([k for k, _ in kinds], [w for _, w in kinds])[0]()

    @property
    def crashes(self):
        return sum(n for name, n in self.count.items() if name.startswith("kill"))


def served_since(moment, limit):
    """Has a call that began after that moment been answered?"""
    deadline = time.monotonic() + limit
    while Agent.last_good <= moment:
        if time.monotonic() > deadline:
            return False
        EVER.wait(0.01)
    return True


# --- the reckoning ----------------------------------------------------------------------

def rows():
    """All rows of the log. A closed file may be there plain and compressed for a moment: then it counts once."""
    closed = {path.removesuffix(".zst"): path for path in glob.glob(f"{STATE}/audit-*.jsonl*")
              if path.endswith((".jsonl", ".jsonl.zst"))}
    for path in [closed[name] for name in sorted(closed)] + [AUDIT]:
        if path.endswith(".zst"):
            text = subprocess.run(["zstd", "-dcq", path], check=True, stdout=subprocess.PIPE).stdout.decode()
        else:
            with open(path, encoding="utf-8") as f:
                text = f.read()
        for line in text.splitlines():
            yield json.loads(line)


def judge(callers, problems):
    calls, refused, tenants = collections.defaultdict(list), collections.Counter(), collections.Counter()
    total = 0
    for row in rows():
        total += 1
        if row["event"] == "tool.call":
            calls[row["request_id"]].append(row["outcome"])
        elif row["event"] in ("mcp.refused", "access.refused"):
            refused[row["request_id"], row["outcome"]] += 1
        elif row["event"] == "tenant.create":
            tenants[json.loads(json.dumps(row["change"]))["slug"]] += 1
    tally = collections.Counter()
    for answer in (a for c in callers for a in c.answers):
        rid, code = answer["request_id"], answer["code"]
        tally[f"{answer['kind']} {answer['status']} {code or answer['outcome'] or ''}".strip()] += 1
        if not answer["right"]:
            problems.append(f"the answer to another question: {answer}")
        if answer["kind"] == "tenant":
            if answer["status"] == 201 and tenants[answer["slug"]] != 1:
                problems.append(f"{tenants[answer['slug']]} rows of an acknowledged change: {answer}")
        elif code == "overloaded" and refused[rid, code]:  # its key waited too long after a start
            if refused[rid, code] != 1 or calls[rid]:
                problems.append(f"{refused[rid, code]} rows of a refusal: {answer}")
        elif answer["outcome"] or code in ("no_worker", "timeout", "overloaded", "cancelled", "protocol_error"):
            want = answer["outcome"] or code
            if len(calls[rid]) != 1 or (calls[rid][0] != want and code != "timeout"):
                problems.append(f"rows {calls[rid]} of an answer: {answer}")
        elif code == "tunnel_daemon_unreachable":
            if refused[rid, code] != 1:
                problems.append(f"{refused[rid, code]} rows of a refusal: {answer}")
        elif code == "audit_unavailable" and refused[rid, code] > 1:
            problems.append(f"{refused[rid, code]} rows of a refusal: {answer}")
    problems += [f"{len(o)} rows of request {rid}: {o}" for rid, o in calls.items() if len(o) > 1]
    acknowledged = [a["slug"] for c in callers for a in c.answers if a["kind"] == "tenant" and a["status"] == 201]
    return total, tally, acknowledged


def tenants_there():
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=30)
    there, cursor = set(), ""
    while True:
        connection.request("GET", f"/v1/admin/tenants?limit=100{'&cursor=' + cursor if cursor else ''}",
                           headers={"Authorization": f"Bearer {TOKEN}", "Host": URL.split("//")[1]})
        page = json.loads(connection.getresponse().read())
        there.update(t["slug"] for t in page["tenants"])
        cursor = page.get("next_cursor")
        if not cursor:
            return there


def campaign(stack, callers, options, problems):
    faults = Faults(stack, random.Random(options.seed))
    slowest = 0.0
    if not served_since(0, RECOVERY):
        problems.append("no call was answered before the first crash")
        return faults, slowest
    end = time.monotonic() + options.seconds
    while faults.crashes < options.crashes and time.monotonic() < end:
        EVER.wait(faults.rng.expovariate(8))
        for _ in range(faults.rng.choice([1, 1, 1, 2, 3])):
            faults.one()
        moment = time.monotonic()
        if not served_since(moment, RECOVERY):
            problems.append(f"no call was answered for {RECOVERY} s after: {dict(faults.count)}")
            break
        slowest = max(slowest, time.monotonic() - moment)
    if not problems and faults.crashes < options.crashes:
        problems.append(f"only {faults.crashes} of {options.crashes} crashes in {options.seconds} s")
    return faults, slowest


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--crashes", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--seed", type=int, required=True)
    options = parser.parse_args()
    stack, problems = programs(), []
    callers = [Agent(n) for n in range(1, AGENTS + 1)] + [Operator(AGENTS + 1)]
    began = time.monotonic()
    for thread in [*stack.values(), *callers]:
        thread.start()
    try:
        faults, slowest = campaign(stack, callers, options, problems)
        EVER.set()
        for caller in callers:
            caller.join(60)
        EVER.clear()
        last = Agent(99)  # the rows that waited for the journal or the daemon come before its own
        last.start()
        if not served_since(time.monotonic(), RECOVERY):
            problems.append("no call was answered after the end")
        EVER.set()
        last.join(60)
        there = tenants_there()
    finally:
        EVER.set()
        for name in ("worker", "front", "fcgi-app", "tunneld"):
            stack[name].end()
    total, tally, acknowledged = judge([*callers, last], problems)
    problems += [f"tenant {slug} was acknowledged and is not there" for slug in acknowledged if slug not in there]
    print(f"seed {options.seed}: {faults.crashes} crashes in {time.monotonic() - began:.0f} s; "
          f"{sum(tally.values())} answers, {total} rows; slowest return to service {slowest:.1f} s")
    for title, counts in (("faults", faults.count), ("answers", tally)):
        print(f"{title}: " + ", ".join(f"{n} {name}" for name, n in sorted(counts.items())))
    print("starts: " + ", ".join(f"{p.starts} {p.name}" for p in stack.values())
          + f"; {sum(c.broken for c in callers)} connections broke")
    for problem in problems[:20]:
        print(f"PROBLEM: {problem}")
    print(f"{len(problems)} problems")
    sys.exit(1 if problems else 0)


main()
