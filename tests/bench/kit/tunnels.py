"""Line 4: idle tunnels: memory, CPU at rest, handshakes a second, the way back after a restart; and calls beside them."""

import json
import os
import resource
import select
import subprocess
import time

from . import load, procs, stacks

STEPS = (1000, 5000, 15000)
THROUGH_FRONT = 7000
RESERVE = 1000  # file descriptors for everything else
LIBRARY_BYTES = 5900  # what libwebsockets itself keeps for an idle WebSocket (measured with a server that does nothing)
HEARTBEAT_SECONDS = 15
PATIENCE_SECONDS = 120


class Crowd:
    """The program that holds the workers' ends."""

    def __init__(self, bench, plane, identities, address):
        command = [os.path.join(bench.tools, "tunnels"), identities, f"{plane.state}/cp_ed25519.pem", address]
        with open(os.path.join(bench.log, "tunnels.log"), "ab") as log:
            self.process = subprocess.Popen(list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)
        bench.programs.running.append(self.process)

    def ask(self, count):
        self.process.stdin.write(f"open {count}\n")
        self.process.stdin.flush()

    def report(self):
        """Waits until all stand (again); seconds that took."""
        ready, _, _ = select.select([self.process.stdout], [], [], PATIENCE_SECONDS)
        if not ready:
            raise procs.Failure(f"the tunnels did not all stand within {PATIENCE_SECONDS} s")
        line = self.process.stdout.readline()
        if not line:
            raise procs.Failure("the program that holds the tunnels ended")
        return json.loads(line)["ms"] / 1000

    def close(self, bench):
        bench.programs.stop(self.process)
        self.process.stdin.close()
        self.process.stdout.close()


def run(bench, field):
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - RESERVE
    steps = (100,) if bench.quick else sorted({min(step, limit) for step in STEPS})
    # What is reserved for streams comes off the tunnels' share of the open files.
    settings = {"tunnel": {"max_connections": max(steps) + 500}, "limits": {**stacks.LIMITS, "streams": 100}, "audit": {"streams": 10}}
    plane = stacks.ControlPlane(bench, "crowd", bench.ram, settings).up()
    identities = os.path.join(bench.ram, "identities")
    subprocess.run([os.path.join(bench.tools, "seed"), "workers", f"{plane.state}/state.db", str(max(steps)), identities], check=True)
    target = plane.target("relay beside tunnels", plane.echo(), plane.mint_key())
    load.warm_up([target])
    try:
        direct = straight(bench, field, plane, target, identities, steps)
        front = through_front(bench, plane, identities, min(max(steps), THROUGH_FRONT, limit // 2))
    finally:
        os.unlink(identities)
        plane.end()
    return {"direct": direct, "front": front}


def straight(bench, field, plane, target, identities, steps):
    """On tunneld's own socket, step by step."""
    crowd = Crowd(bench, plane, identities, f"{plane.run_dir}/tunnel.sock")
    bare = procs.pss([plane.tunneld.pid])
    rows, before = [], 0
    for step in steps:
        print(f"{step} idle tunnels", flush=True)
        cpu, client = procs.cpu_us([plane.tunneld.pid]), procs.cpu_us([crowd.process.pid])
        crowd.ask(step)
        seconds = max(crowd.report(), 0.001)
        opened = step - before
        row = {"tunnels": step, "handshakes_per_s": opened / seconds,
               "handshake_cpu_us": (procs.cpu_us([plane.tunneld.pid]) - cpu) / opened,
               "handshake_client_cpu_us": (procs.cpu_us([crowd.process.pid]) - client) / opened}
        row.update(at_rest(bench, plane, bare, step))
        row["calls"] = beside(bench, field, target)
        rows.append(row)
        print(f"  {row['bytes_per_tunnel']:.0f} bytes each, {row['rest_cpu_percent']:.2f}% of a core at rest, "
              f"{row['handshakes_per_s']:.0f} handshakes/s, calls {row['calls']['rps']['median']:.2f} of the rate without", flush=True)
        before = step
    rows[-1]["reconnect"] = restart(plane, crowd)
    print(f"  back after a restart: {rows[-1]['reconnect']['all_s']:.2f} s", flush=True)
    crowd.close(bench)
    return rows


def at_rest(bench, plane, bare, count):
    time.sleep(1)
    size = procs.pss([plane.tunneld.pid]) - bare
    cpu, began = procs.cpu_us([plane.tunneld.pid]), time.monotonic()
    time.sleep(2 if bench.quick else HEARTBEAT_SECONDS)
    used = (procs.cpu_us([plane.tunneld.pid]) - cpu) / 1e6 / (time.monotonic() - began)
    return {"bytes_per_tunnel": size / count, "own_bytes": size / count - LIBRARY_BYTES, "rest_cpu_percent": 100 * used}


def beside(bench, field, target):
    """Calls through a control plane with this many tunnels, relative to one with a single tunnel."""
    plain = field.relays["relay_ram"]
    runs = load.series([target, plain], 64, bench.seconds, 1 if bench.quick else 3)
    return {field_name: load.ratio(runs[target.name], runs[plain.name], field_name) for field_name in ("rps", "p99")}


def restart(plane, crowd):
    """tunneld ends and starts again: seconds until every tunnel stands again, from the start of the new one, and from the loss."""
    took = plane.bench.programs.stop(plane.tunneld)
    began = time.monotonic()
    plane.start_tunneld()
    ready = time.monotonic() - began
    lost = crowd.report()
    return {"end_s": took, "ready_s": ready, "all_s": time.monotonic() - began, "since_loss_s": lost}


def through_front(bench, plane, identities, count):
    print(f"{count} idle tunnels through the front", flush=True)
    front = procs.family(plane.front.process.pid)
    before = procs.pss(front)
    crowd = Crowd(bench, plane, identities, plane.front.port)
    crowd.ask(count)
    seconds = max(crowd.report(), 0.001)
    time.sleep(0.5)
    row = {"tunnels": count, "handshakes_per_s": count / seconds, "bytes_per_tunnel": (procs.pss(front) - before) / count}
    crowd.close(bench)
    print(f"  {row['bytes_per_tunnel']:.0f} bytes each in the front, {row['handshakes_per_s']:.0f} handshakes/s", flush=True)
    return row
