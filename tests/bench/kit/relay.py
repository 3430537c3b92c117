"""Lines 1 and 2: calls through the relay, beside the ceiling, the original's shape and the SDK's server."""

import os
import re
import subprocess
import time

from . import load, procs, stacks

LEVELS = (1, 16, 64, 256)
PERF_COUNTERS = ("raw_syscalls:sys_enter",)


class Field:
    """Everything that is measured side by side, running."""

    def __init__(self, bench):
        self.ram = stacks.ControlPlane(bench, "ram", bench.ram).up()
        self.disk = stacks.ControlPlane(bench, "disk", bench.disk).up()
        self.interval = stacks.ControlPlane(bench, "interval", bench.disk, {"audit": {"fsync": "interval"}}).up()
        self.relays = {name: self.relay(plane) for name, plane in
                       (("relay_ram", self.ram), ("relay_disk", self.disk), ("relay_interval", self.interval))}
        self.hello_front, self.hello_program = stacks.hello(bench)
        self.hello = stacks.hello_target(self.hello_front, self.hello_program, self.relays["relay_ram"].key_file)
        self.static = stacks.static_target(self.hello_front)
        self.starlette = stacks.starlette(bench, self.ram)
        self.sdk = stacks.sdk(bench, self.ram)

    def relay(self, plane):
        target = plane.target("", plane.echo(), plane.mint_key())
        target.plane = plane
        return target

    def targets(self):
        for name, target in self.relays.items():
            target.name = name
        return [self.relays["relay_ram"], self.hello, self.starlette, self.relays["relay_disk"], self.static, self.sdk]


def check_audit(field, calls):
    """Every call that was answered has its row: the log may hold more (calls cut off at the end of a run), never fewer."""
    with open(field.ram.audit, "rb") as file:
        rows = sum(1 for line in file if b'"event":"tool.call"' in line)
    if rows < calls:
        raise procs.Failure(f"{calls} calls were answered, and the audit log has {rows} rows")
    return {"calls_answered": calls, "rows": rows}


def run(bench, field):
    levels = (1, 64) if bench.quick else LEVELS
    rounds = 1 if bench.quick else 3
    targets = field.targets()
    load.warm_up(targets + [field.relays["relay_interval"]])
    # The warm-up counts for the audit check too, so begin from what is there.
    before = check_audit(field, 0)["rows"]
    table, calls = {}, 0
    for callers in levels:
        chosen = targets + ([field.relays["relay_interval"]] if callers == 1 else [])
        print(f"relay, {callers} callers", flush=True)
        table[str(callers)] = load.series(chosen, callers, bench.seconds, rounds + 2 * (callers == 64 and not bench.quick), show)
        calls += sum(run["requests"] for run in table[str(callers)]["relay_ram"])
    audit = check_audit(field, before + calls)
    return {"runs": table, "audit": audit, "in_process_ns": in_process(bench), "system_calls": system_calls(bench, field)}


def show(target, run):
    cost = " ".join(f"{role} {value:.0f}" for role, value in run["cpu_us"].items())
    wrong = f"  NOT 2xx: {run['not_2xx']}" if run["not_2xx"] else ""
    wrong += f"  BROKEN: {run['broken']}" if run["broken"] else ""
    print(f"  {target.name:<15}{run['rps']:>9.0f}/s  p50 {run['p50'] / 1000:>7.2f}  p99 {run['p99'] / 1000:>7.2f} ms  "
          f"CPU us a call: {cost}{wrong}", flush=True)


def in_process(bench):
    """The tool itself: nanoseconds of a call in the worker's own process, median of five."""
    command = [os.path.join(bench.tools, "echo_worker"), "--in-process", "100000"]
    times = sorted(float(subprocess.run(command, check=True, capture_output=True, text=True).stdout) for _ in range(5))
    return times[2]


def system_calls(bench, field):
    """System calls a call, by process, in runs of their own, since counting costs time."""
    counted = {}
    for callers in (64,) if bench.quick else (1, 64):
        counted[str(callers)] = {}
        for target in (field.relays["relay_ram"], field.hello, field.starlette):
            counted[str(callers)][target.name] = count(bench, target, callers)
    return counted


def count(bench, target, callers):
    counters = {role: counter(pids) for role, pids in target.pids().items()}
    time.sleep(0.3)
    calls = max(load.wrk(target, callers, 1)["requests"], 1)
    return {role: finish(process, calls) for role, process in counters.items()}


def counter(pids):
    command = ["perf", "stat", "-x", ",", "-e", ",".join(PERF_COUNTERS), "-p", ",".join(map(str, pids))]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def finish(process, calls):
    """None where the kernel does not let us count."""
    process.send_signal(subprocess.signal.SIGINT)
    output = process.communicate()[1]
    found = re.search(r"^(\d+),", output, re.MULTILINE)
    return int(found.group(1)) / calls if found else None
