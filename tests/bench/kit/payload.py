"""Line 3: large results: bytes a second beside the ceiling's, and how far each process grows."""

import time

from . import load, procs

SIZES = {"1 KiB": 1 << 10, "64 KiB": 1 << 16, "1 MiB": 1 << 20, "8 MiB": 8 << 20}
CALLERS = 4


def run(bench, field):
    sizes = {"1 KiB": SIZES["1 KiB"], "1 MiB": SIZES["1 MiB"]} if bench.quick else SIZES
    relay = field.relays["relay_ram"]
    settle(relay)
    table = {}
    for name, size in sizes.items():
        print(f"results of {name}, {CALLERS} callers", flush=True)
        targets = pair(field, relay, size)
        growth = {target.name: grow(target, size) for target in targets}
        runs = load.series(targets, CALLERS, bench.seconds, 1 if bench.quick else 3, show)
        table[name] = {"bytes": size, "runs": runs, "growth_in_bodies": growth}
    return table


def pair(field, relay, size):
    from . import stacks

    big = relay.plane.target("relay_ram", None, relay.key_file, bytes=size)
    big.roles = relay.roles
    return [big, stacks.hello_target(field.hello_front, field.hello_program, relay.key_file, size)]


def settle(relay):
    """One caller's small calls, so that what is measured later is the payload and no first use."""
    load.wrk(relay, 1, 1)


def grow(target, size):
    """One caller, the first calls of this size: the peak of each process's memory above what it had before, in bodies. Of
    a role's processes, the one that grew most."""
    time.sleep(0.2)
    pids = target.pids()
    before = {}
    for group in pids.values():
        for pid in group:
            procs.forget_peak(pid)
            before[pid] = procs.status_bytes(pid, "VmRSS")
    load.wrk(target, 1, 1)
    return {role: max(procs.peak(pid) - before[pid] for pid in group) / size for role, group in pids.items()}


def show(target, run):
    print(f"  {target.name:<15}{run['rps']:>9.0f}/s  {run['mb_per_s']:>8.1f} MB/s  p99 {run['p99'] / 1000:>7.2f} ms"
          + ("  ERRORS" if run["not_2xx"] + run["broken"] else ""), flush=True)
