"""Where the time goes: perf and strace on the relay, with 64 callers and with large results; kept in build/bench/."""

import collections
import html
import os
import re
import subprocess
import threading
import time
import zlib

from . import load

SECONDS = 2
TOP = 12
IMAGE_WIDTH, ROW = 1400, 17


def run(bench, field):
    small = field.relays["relay_ram"]
    large = small.plane.target("large", None, small.key_file, bytes=1 << 20)
    large.roles = small.roles
    calls = {role: system_calls(bench, small, role, group) for role, group in small.pids().items() if role == "tunneld" or not bench.quick}
    return {"top_symbols": sample(bench, small, 64, "relay64"), "top_symbols_1mib": sample(bench, large, 4, "relay-1mib"),
            "top_system_calls": calls}


def sample(bench, target, callers, name):
    """Where the processes are found, by role; empty when perf may not look. The flame graph is NAME.svg."""
    pids = target.pids()
    data = os.path.join(bench.out, f"{name}.perf")
    every = ",".join(str(pid) for group in pids.values() for pid in group)
    command = ["perf", "record", "-q", "-F", "499", "-g", "-o", data, "-p", every, "--", "sleep", str(SECONDS)]
    if not under_load(target, callers, command):
        return {}
    flame(data, os.path.join(bench.out, f"{name}.svg"))
    top = {role: symbols(data, group) for role, group in pids.items()}
    os.unlink(data)
    for role, rows in top.items():
        print(f"  {role}: " + ", ".join(f"{symbol} {share:.1f}%" for symbol, share in rows[:5]), flush=True)
    return top


def under_load(target, callers, command):
    """Runs a command while the target is called; False when it did not work (no permission, no such program)."""
    thread = threading.Thread(target=load.wrk, args=(target, callers, SECONDS + 1))
    thread.start()
    time.sleep(0.5)
    try:
        result = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    except OSError:
        return False
    finally:
        thread.join()
    return result.returncode == 0


def symbols(data, pids):
    """The functions in which a role's processes were found most often, with their share of its samples in percent."""
    command = ["perf", "report", "-i", data, "--stdio", "--no-children", "-g", "none", "--percentage", "relative", "-F", "overhead,sym",
               "--pid", ",".join(map(str, pids))]
    output = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    rows = re.findall(r"^\s*([\d.]+)%\s+\[.\]\s+(\S+)", output, re.MULTILINE)
    return [(name, float(share)) for share, name in rows[:TOP]]


def system_calls(bench, target, role, pids):
    """strace -c for a second: which system calls, by number. (strace slows everything; the shares are what counts.)"""
    path = os.path.join(bench.out, f"strace-{role}.txt")
    command = ["timeout", "-s", "INT", "1", "strace", "-c", "-f", "-o", path]
    for pid in pids:
        command += ["-p", str(pid)]
    under_load(target, 64, command)
    try:
        with open(path, encoding="utf-8") as file:
            rows = re.findall(r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$", file.read(), re.MULTILINE)
    except OSError:
        return []
    counts = sorted(((int(count), name) for count, name in rows if name != "total"), reverse=True)
    total = sum(count for count, _ in counts) or 1
    return [(name, 100 * count / total) for count, name in counts[:6]]


def flame(data, path):
    """A flame graph of all processes, as an image that needs nothing else."""
    script = subprocess.run(["perf", "script", "-i", data, "-F", "comm,ip,sym"], capture_output=True, text=True, check=False).stdout
    root = {"count": 0, "inside": {}}
    for block in script.split("\n\n"):
        lines = block.strip().splitlines()
        if lines:
            add(root, [lines[0].strip(), *(line.split(None, 1)[-1] for line in reversed(lines[1:]))])
    rows = collections.deque()
    depth = draw(root, 0, 0, max(root["count"], 1), rows)
    with open(path, "w", encoding="utf-8") as file:
        file.write(f'<svg xmlns="http://www.w3.org/2000/svg" width="{IMAGE_WIDTH}" height="{(depth + 1) * ROW}" '
                   f'font-family="monospace" font-size="11">\n' + "\n".join(rows) + "\n</svg>\n")


def add(node, stack):
    node["count"] += 1
    for name in stack:
        node = node["inside"].setdefault(name, {"count": 0, "inside": {}})
        node["count"] += 1


def draw(node, depth, before, total, rows):
    """One rectangle for each frame that is wide enough to be seen; returns the depth reached."""
    deepest = depth
    for name, child in sorted(node["inside"].items()):
        width = IMAGE_WIDTH * child["count"] / total
        if width >= 1:
            x, label = IMAGE_WIDTH * before / total, html.escape(name)
            hue = zlib.crc32(name.encode()) % 50
            rows.append(f'<g><title>{label} {100 * child["count"] / total:.1f}%</title><rect x="{x:.1f}" y="{depth * ROW}" width="{width:.1f}" '
                        f'height="{ROW - 1}" fill="hsl({hue},80%,70%)"/><text x="{x + 2:.1f}" y="{depth * ROW + 12}">'
                        f'{html.escape(name[:max(int(width / 7) - 1, 0)])}</text></g>')
            deepest = max(deepest, draw(child, depth + 1, before, total, rows))
        before += child["count"]
    return deepest
