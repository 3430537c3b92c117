"""What is done to the programs. The plan comes from a seed alone: the same seed gives the same faults in the same order,
with the same pauses. It has at least one of each kind."""

import collections
import os
import random
import signal
import time

from programs import CONTROL, DISK

VICTIMS = ("tunneld", "fcgi-app", "fcgi-app child", "front", "front child", "worker")
DISK_WORDS = ("enospc", "eio", "sync")
PATIENCE = 30  # seconds until there is a process of that name

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

    def signal(self, name, which, number):
        """The pid that it was sent to. One that has just ended is waited for until it is there again."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            pids = self.pids(name)
            try:
                if pids:
                    pid = pids[int(which * len(pids))]
                    os.kill(pid, number)
                    return pid
            except ProcessLookupError:
                pass
            time.sleep(0.005)
        raise TimeoutError(f"there is no {name}")

    def kill(self, name, which):
        self.signal(name, which, signal.SIGKILL)
        self.count[f"kill {name}"] += 1

    def stop(self, fault):
        pid = self.signal(fault.who, fault.which, signal.SIGSTOP)
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
        with open(CONTROL, "w") as f:
            f.write(fault.word)
        self.count[f"disk {fault.word}"] += 1
        time.sleep(fault.hold)
        if fault.then:
            self.kill(fault.then, fault.which)
        os.remove(CONTROL)

    def full(self, fault):
        filler = f"{DISK}/filler"
        with open(filler, "wb", buffering=0) as f:
            try:
                while True:
                    f.write(b"\0" * 65536)
            except OSError:
                pass
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
