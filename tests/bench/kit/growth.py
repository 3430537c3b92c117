"""Line 5: calls a second and their tail as the state grows, relative to a control plane with three tenants and one key."""

import os
import shutil
import subprocess
import time

from . import load, procs, stacks

ROW_BYTES = 450
STEPS = (("tenants", 100), ("tenants", 10_000), ("keys", 1000), ("keys", 100_000))
QUICK_STEPS = (("tenants", 100),)
HISTORY = (1_000_000, 10_000_000)
QUICK_HISTORY = (10_000,)


def run(bench, field):
    plane = stacks.ControlPlane(bench, "grown", bench.ram).up()
    worker, key_file = plane.echo(), plane.mint_key()
    load.warm_up([plane.target("grown", worker, key_file)])
    rows = [] if bench.quick else [row("nothing more", 0, compare(bench, field, plane, worker, key_file))]
    present = {"tenants": 0, "keys": 0}
    for kind, count in QUICK_STEPS if bench.quick else STEPS:
        seed(bench, plane, kind, count, present)
        rows.append(row(kind, count, compare(bench, field, plane, worker, key_file)))
    start = [starting(bench, plane, 0)]
    for count in QUICK_HISTORY if bench.quick else HISTORY:
        count = min(count, room(bench.ram))
        start.append(starting(bench, plane, count))
        procs.wait_until("the worker to come back", lambda: plane.sessions() == 1)
        rows.append(row("audit rows", count, compare(bench, field, plane, worker, key_file)))
    plane.end()
    shutil.rmtree(plane.state)
    return {"rows": rows, "start": start}


def room(path):
    """So many rows fit without taking more than a quarter of the volume."""
    volume = os.statvfs(path)
    return volume.f_bavail * volume.f_frsize // 4 // ROW_BYTES


def seed(bench, plane, kind, count, present):
    tool = [os.path.join(bench.tools, "seed"), kind, f"{plane.state}/state.db"]
    # Tenants that are there are left as they are; keys come on top.
    arguments = [str(count)] if kind == "tenants" else [f"t_{stacks.TENANT}", str(count - present[kind])]
    subprocess.run(tool + arguments, check=True)
    present[kind] = count


def starting(bench, plane, history):
    """The control plane starts anew on an audit log of so many rows."""
    plane.down()
    if history:
        subprocess.run([os.path.join(bench.tools, "seed"), "journal", plane.audit, str(history)], check=True)
    began = time.monotonic()
    plane.up()
    return {"history": history, "seconds": time.monotonic() - began, "bytes": os.path.getsize(plane.audit)}


def compare(bench, field, plane, worker, key_file):
    grown, plain = plane.target("grown", worker, key_file), field.relays["relay_ram"]
    runs = load.series([grown, plain], 64, bench.seconds, 1 if bench.quick else 3)
    return {name: load.ratio(runs["grown"], runs[plain.name], name) for name in ("rps", "p50", "p99")}


def row(kind, count, ratios):
    print(f"{count} {kind}: rate x {ratios['rps']['median']:.2f}, p99 x {ratios['p99']['median']:.2f}", flush=True)
    return {"kind": kind, "count": count, **ratios}
