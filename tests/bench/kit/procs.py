"""Processes: starting and ending them, and what /proc says of them."""

import atexit
import os
import subprocess
import sys
import time

TICK_US = 1_000_000 // os.sysconf("SC_CLK_TCK")
TERM_SECONDS = 40


class Failure(Exception):
    """The benchmark can't go on; the message tells why."""


class Programs:
    """Everything that was started; whatever still runs at the end is ended, last one first."""

    def __init__(self):
        self.running = []
        atexit.register(self.stop_all)

    def start(self, command, log, env=None, **options):
        with open(log, "ab") as out:
            # Should this program be killed itself, what it started gets a SIGTERM.
            process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", *map(str, command)],
                stdin=subprocess.DEVNULL,
                stdout=options.get("stdout", out),
                stderr=out,
                env=env,
            )
        self.running.append(process)
        return process

    def stop(self, process):
        """Ends it with SIGTERM; returns the seconds that took."""
        began = time.monotonic()
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(TERM_SECONDS)
            except subprocess.TimeoutExpired:
                print(f"bench: {process.args[3]} had to be killed", file=sys.stderr)
                process.kill()
                process.wait()
        if process in self.running:
            self.running.remove(process)
        return time.monotonic() - began

    def stop_all(self):
        for process in reversed(list(self.running)):
            self.stop(process)


def wait_until(what, condition, seconds=20, step=0.002):
    """Polls; returns what the condition returned."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Failure(f"gave up after {seconds} s waiting for {what}")
        time.sleep(step)


def read(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def tail(path, lines=8):
    try:
        return "\n".join(read(path).splitlines()[-lines:])
    except OSError:
        return ""


def family(pid):
    """The process and all its descendants."""
    found = [pid]
    for task in os.listdir(f"/proc/{pid}/task"):
        for child in read(f"/proc/{pid}/task/{task}/children").split():
            found += family(int(child))
    return found


def cpu_us(pids):
    """CPU time of these processes so far; those that are gone count nothing."""
    total = 0
    for pid in pids:
        try:
            fields = read(f"/proc/{pid}/stat").rsplit(")", 1)[1].split()
        except OSError:
            continue
        total += (int(fields[11]) + int(fields[12])) * TICK_US
    return total


def switches(pids):
    """Context switches of all threads so far."""
    total = 0
    for pid in pids:
        for task in os.listdir(f"/proc/{pid}/task"):
            try:
                status = read(f"/proc/{pid}/task/{task}/status")
            except OSError:
                continue
            total += sum(int(line.split()[1]) for line in status.splitlines() if "ctxt_switches" in line)
    return total


def status_bytes(pid, field):
    for line in read(f"/proc/{pid}/status").splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    return 0


def pss(pids):
    """Proportional set size, bytes. Where it may not be read (not root), the private resident memory."""
    total = 0
    for pid in pids:
        try:
            lines = read(f"/proc/{pid}/smaps_rollup").splitlines()
            total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024
        except OSError:
            total += status_bytes(pid, "RssAnon")
    return total


def forget_peak(pid):
    """From here on the peak of resident memory counts anew (root only)."""
    try:
        with open(f"/proc/{pid}/clear_refs", "w", encoding="ascii") as file:
            file.write("5")
    except OSError:
        pass


def peak(pid):
    return status_bytes(pid, "VmHWM")
