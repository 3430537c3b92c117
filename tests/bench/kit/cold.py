"""Line 6: what the first time costs: a key's first use, a start, a snapshot that is not there, a drain. And memory at rest."""

import http.client
import json
import os
import statistics
import subprocess
import threading
import time

from . import load, procs, stacks


def run(bench, field):
    plane = stacks.ControlPlane(bench, "cold", bench.ram).up()
    worker, key_file = plane.echo(), plane.mint_key()
    call_once(plane, key_file, load.call_body())
    result = {"idle": idle(plane), "argon2": argon2(bench, plane), "start": starts(bench, plane)}
    procs.wait_until("the worker to come back", lambda: plane.sessions() == 1)
    result["drain"] = drain(bench, plane, worker, key_file)
    plane.end()
    result["snapshot"] = snapshots(bench)
    result["idle_after_load"] = idle(field.ram)
    for name, value in result.items():
        print(f"{name}: {json.dumps(value)}", flush=True)
    return result


def call_once(plane, key_file, body):
    """One call on a connection of its own; milliseconds until the answer was there."""
    key = procs.read(key_file).strip()
    connection = http.client.HTTPConnection("127.0.0.1", plane.front.port, timeout=60)
    connection.connect()
    began = time.monotonic()
    connection.request("POST", f"/mcp/{stacks.TENANT}", body, {
        "Authorization": f"Bearer {key}", "Content-Type": "application/json", "Accept": "application/json, text/event-stream"})
    reply = connection.getresponse()
    text = reply.read()
    took = (time.monotonic() - began) * 1000
    connection.close()
    if reply.status != 200:
        raise procs.Failure(f"a call was answered {reply.status}: {text[:200]!r}")
    return took


def idle(plane):
    """Memory of the pool and tunneld when nothing happens, MiB."""
    time.sleep(1)
    mib = {"fcgi-app": procs.pss(procs.family(plane.app.pid)) / 2**20, "tunneld": procs.pss(procs.family(plane.tunneld.pid)) / 2**20}
    return {**mib, "total": sum(mib.values())}


def argon2(bench, plane):
    """First and later calls with a new key. With two processes each has its own first time: the lowest later one counts."""
    first, later = [], []
    for number in range(3 if bench.quick else 12):
        key_file = plane.mint_key(f"first-{number}")
        first.append(call_once(plane, key_file, load.call_body()))
        later.append(min(call_once(plane, key_file, load.call_body()) for _ in range(5)))
    return {"first_ms": statistics.median(first), "later_ms": statistics.median(later)}


def starts(bench, plane):
    """From starting tunneld and the pool to the first "ok" of /health through the front."""
    seconds = []
    for _ in range(2 if bench.quick else 7):
        plane.down()
        began = time.monotonic()
        plane.up()
        seconds.append((time.monotonic() - began) * 1000)
    return {"median_ms": statistics.median(seconds), "high_ms": max(seconds)}


def drain(bench, plane, worker, key_file):
    """SIGTERM to the pool in the middle of the load: time to its end, and what became of the calls meanwhile."""
    target = plane.target("drain", worker, key_file)
    box = []
    thread = threading.Thread(target=lambda: box.append(load.wrk(target, 16, 2)))
    thread.start()
    time.sleep(1)
    app = bench.programs.stop(plane.app)
    plane.start_app()
    thread.join()
    tunneld = bench.programs.stop(plane.tunneld)
    plane.start_tunneld()
    return {"fcgi-app_ms": app * 1000, "tunneld_ms": tunneld * 1000, "calls": box[0]["requests"],
            "answered_503_while_down": box[0]["not_2xx"], "cut_off": box[0]["broken"]}


def snapshots(bench):
    """The real worker on the demo data: a subject's first query, which makes its snapshot, and its later ones."""
    data = os.path.join(bench.ram, "demo-data")
    subprocess.run([os.path.join(bench.bin, "airlock-demo-data"), "--out", data], check=True, stdout=subprocess.DEVNULL)
    plane = stacks.ControlPlane(bench, "snapshot", bench.ram).up()
    path = plane.enroll("snapshot", procs.read(os.path.join(stacks.REPO, "demo", f"{stacks.TENANT}.yaml")))
    worker = bench.start("snapshot-worker", [os.path.join(bench.bin, "airlock-worker"), "run", "--quiet", "--config", os.path.join(path, "airlock.yaml")],
        env={"PATH": os.environ["PATH"], "DATABASE_URL": f"sqlite:{data}/{stacks.TENANT}.db"})
    procs.wait_until("the worker with the demo data", lambda: plane.sessions() == 1)
    key_file = plane.mint_key()
    call_once(plane, key_file, query(1001))
    call_once(plane, key_file, query(1001))
    miss, warm = [], []
    for subject in range(1002, 1005 if bench.quick else 1022):
        miss.append(call_once(plane, key_file, query(subject)))
        warm.append(statistics.median(call_once(plane, key_file, query(subject)) for _ in range(5)))
    bench.programs.stop(worker)
    plane.end()
    return {"miss_ms": statistics.median(miss), "warm_ms": statistics.median(warm), "miss_high_ms": max(miss)}


def query(subject):
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "execute_sql", "arguments": {
        "subject_id": str(subject), "sql": "SELECT count(*) FROM accounts"}}})
