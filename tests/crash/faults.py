"""What is done to the programs. The plan comes from a seed alone: the same seed gives the same faults in the same order,
with the same pauses. It has at least one of each kind, and each is waited for until it has taken place."""

import collections
import errno
import os
import random
import signal
import time

from programs import CONTROL, DISK

VICTIMS = ("tunneld", "fcgi-app", "fcgi-app child", "front", "front child", "worker")
DISK_WORDS = ("enospc", "eio", "sync")
PATIENCE = 30  # seconds until there is a process of that name, and until a disk was written to that has to fail
ENDED, STOPPED = "ZX", "T"  # states of a process in /proc

# kill and stop have a `who`; disk has a `word`. After a stop, and after a failing or full disk, `then` may be killed.
# `which` (0 to 1) says which one where there are several of that name.
Fault = collections.namedtuple("Fault", "kind who word which hold then")


def draw(rng, kind, who=None, word=None):
    then = who if kind == "stop" else rng.choice(VICTIMS)
    return Fault(kind, who or (rng.choice(VICTIMS) if kind in ("kill", "stop") else None),
                 word or (rng.choice(DISK_WORDS) if kind == "disk" else None), rng.random(), rng.uniform(0.02, 0.6),
                 then if kind != "kill" and rng.random() < 0.3 else None)


def plan(seed, crashes):
    """A list of (pause, faults), with as many kills."""
    rng = random.Random(seed)
    faults = [draw(rng, "kill", who=who) for who in VICTIMS] + [draw(rng, "stop", who=who) for who in VICTIMS] \
        + [draw(rng, "disk", word=word) for word in DISK_WORDS] + ([draw(rng, "full")] if DISK else [])
    kinds = {"kill": 70, "stop": 12, "disk": 12} | ({"full": 6} if DISK else {})
    while sum((f.kind == "kill") + (f.then is not None) for f in faults) < crashes:
        faults.append(draw(rng, *rng.choices(list(kinds), list(kinds.values()))))
    rng.shuffle(faults)
    steps = []
    while faults:
        count = rng.choice([1, 1, 1, 2, 3])
        steps.append((rng.expovariate(8), faults[:count]))
        del faults[:count]
    return steps


def kinds():
    """The names of all that has to take place."""
    return [f"{kind} {who}" for kind in ("kill", "stop") for who in VICTIMS] \
        + [f"disk {word}" for word in DISK_WORDS] + (["disk full"] if DISK else [])


def state(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ENDED[0]


class Faults:
    def __init__(self, stack):
        self.stack, self.count = stack, collections.Counter()

    @property
    def crashes(self):
        return sum(n for name, n in self.count.items() if name.startswith("kill"))

    def pids(self, name):
        program = self.stack[name.removesuffix(" child")]
        if not program.up.is_set():
            return []
        return program.children() if name.endswith(" child") else [program.process.pid]

    def signal(self, name, which, number, states):
        """The pid that it was sent to, when it has come to one of `states`. One that has ended is waited for until it is
        there again."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            pids = [pid for pid in self.pids(name) if state(pid) not in ENDED]
            if pids:
                pid = pids[int(which * len(pids))]
                try:
                    os.kill(pid, number)
                except ProcessLookupError:
                    continue
                while state(pid) not in states + ENDED and time.monotonic() < until:
                    time.sleep(0.001)
                if state(pid) in states:
                    return pid
            time.sleep(0.005)
        raise TimeoutError(f"there is no {name}")

    def kill(self, name, which):
        self.signal(name, which, signal.SIGKILL, ENDED)
        self.count[f"kill {name}"] += 1

    def stop(self, fault):
        pid = self.signal(fault.who, fault.which, signal.SIGSTOP, STOPPED)
        self.count[f"stop {fault.who}"] += 1
        time.sleep(fault.hold)
        try:
            if fault.then:
                os.kill(pid, signal.SIGKILL)
                self.count[f"kill {fault.who}"] += 1
            os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            pass

    def disk(self, fault):
        failed = f"{CONTROL}.{fault.word}"  # made when a write or a sync has failed
        if os.path.exists(failed):
            os.remove(failed)
        with open(CONTROL, "w") as f:
            f.write(fault.word)
        try:
            until = time.monotonic() + PATIENCE
            while not os.path.exists(failed):
                if time.monotonic() > until:
                    raise TimeoutError(f"no write or sync of the log met a disk that fails ({fault.word})")
                time.sleep(0.001)
            self.count[f"disk {fault.word}"] += 1
            time.sleep(fault.hold)
            if fault.then:
                self.kill(fault.then, fault.which)
        finally:
            os.remove(CONTROL)

    def full(self, fault):
        filler = f"{DISK}/filler"
        with open(filler, "wb", buffering=0) as f:
            try:
                while True:
                    f.write(b"\0" * 65536)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
        self.count["disk full"] += 1
        time.sleep(fault.hold)
        if fault.then:
            self.kill(fault.then, fault.which)
        os.remove(filler)

    def do(self, fault):
        if fault.kind == "kill":
            self.kill(fault.who, fault.which)
        else:
            {"stop": self.stop, "disk": self.disk, "full": self.full}[fault.kind](fault)
