"""Load: one run of wrk against one target, and interleaved series of such runs."""

import json
import os
import statistics
import subprocess
import time

from . import procs

CALL = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "echo", "arguments": {}}}
SCRIPT = os.path.join(os.path.dirname(__file__), "..", "call.lua")


def call_body(**arguments):
    return json.dumps({**CALL, "params": {"name": "echo", "arguments": arguments}}, separators=(",", ":"))


class Target:
    """Something that answers calls: a URL and the processes whose cost is counted, by role."""

    def __init__(self, name, url, roles, key_file="/dev/null", body=None, method="POST"):
        self.name, self.url, self.roles, self.key_file = name, url, roles, key_file
        self.body, self.method = body or call_body(), method

    def pids(self):
        """By role, as of now: the pool may have made a new process."""
        return {role: [pid for process in group for pid in procs.family(process.pid)] for role, group in self.roles.items()}

    def environment(self):
        return {"PATH": os.environ["PATH"], "BENCH_METHOD": self.method, "BENCH_BODY": self.body, "BENCH_KEY_FILE": self.key_file}


def wrk(target, callers, seconds):
    """One run of the load generator: its result, and the share of a core that it used itself."""
    command = ["wrk", "-t1", f"-c{callers}", f"-d{seconds}s", "--timeout", "30s", "-s", SCRIPT, target.url]
    with subprocess.Popen(command, env=target.environment(), stdout=subprocess.PIPE, text=True) as process:
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0 or "RESULT " not in output:
        raise procs.Failure(f"wrk failed on {target.name}: {output[-400:]}")
    result = json.loads(output.split("RESULT ", 1)[1])
    result["generator_cpu"] = (usage.ru_utime + usage.ru_stime) * 1e6 / result["microseconds"]
    return result


def measure(target, callers, seconds):
    """Rates, latencies in microseconds, and what a call cost each process."""
    pids = target.pids()
    cpu = {role: procs.cpu_us(group) for role, group in pids.items()}
    switches = {role: procs.switches(group) for role, group in pids.items()}
    result = wrk(target, callers, seconds)
    calls = max(result["requests"], 1)
    for role, group in pids.items():
        cpu[role] = (procs.cpu_us(group) - cpu[role]) / calls
        switches[role] = (procs.switches(group) - switches[role]) / calls
    elapsed = result.pop("microseconds") / 1e6
    result.update(callers=callers, seconds=elapsed, rps=result["requests"] / elapsed, mb_per_s=result["bytes"] / elapsed / 1e6,
                  cpu_us=cpu, switches=switches)
    return result


def series(targets, callers, seconds, rounds, note=None):
    """A B C, A B C, ...: every round measures each target once. Returns the runs by target name."""
    runs = {target.name: [] for target in targets}
    for _ in range(rounds):
        for target in targets:
            run = measure(target, callers, seconds)
            runs[target.name].append(run)
            if note:
                note(target, run)
    return runs


def warm_up(targets, callers=64, seconds=1):
    for target in targets:
        wrk(target, callers, seconds)
        time.sleep(0.05)


def middle(runs, *path):
    """The median over runs of one number in them."""
    return statistics.median(pick(run, path) for run in runs)


def pick(run, path):
    for step in path:
        run = run[step]
    return run


def ratio(runs_a, runs_b, *path):
    """A to B, from pairs measured next to each other: median, lowest, highest."""
    pairs = [pick(a, path) / max(pick(b, path), 1e-9) for a, b in zip(runs_a, runs_b)]
    return {"median": statistics.median(pairs), "low": min(pairs), "high": max(pairs)}


def total_cpu(run, leave_out=("front", "worker")):
    """CPU of a call in all processes of the control plane."""
    return sum(value for role, value in run["cpu_us"].items() if role not in leave_out)
