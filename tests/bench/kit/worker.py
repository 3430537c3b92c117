"""Line 7: the worker on PostgreSQL: a subject's first call, which copies its rows, beside COPY of them; and a warm call beside the engine itself."""

import json
import os
import shutil
import statistics
import subprocess
import tempfile

from . import procs, stacks

SUBJECTS, ROWS, LARGE = 200_000, 5_000_000, 3
QUICK = 2000, 40_000, 1
ROUNDS = 15
LIBRARY = os.path.join(stacks.REPO, "tests", "node_modules", "@duckdb", "node-bindings-linux-x64", "libduckdb.so")


def run(bench, _field):
    # The server's user is another one when this is root, and goes through the whole path.
    place = tempfile.mkdtemp(prefix="airlock-bench-pg.", dir="/var/tmp")
    os.chmod(place, 0o755)
    try:
        return measured(bench, os.path.join(place, "server"))
    finally:
        shutil.rmtree(place, ignore_errors=True)


def measured(bench, server):
    subjects, rows, large = QUICK if bench.quick else (SUBJECTS, ROWS, LARGE)
    script = os.path.join(stacks.REPO, "tests", "lib", "postgres")
    url = f"postgresql://airlock@/postgres?host={server}"
    subprocess.run([script, "init", server], check=True)
    process = bench.start("postgres", [script, "run", server, "-c", "shared_buffers=256MB", "-c", "max_wal_size=4GB"])
    procs.wait_until("PostgreSQL", lambda: psql(url, "-c", "SELECT 1").returncode == 0, step=0.05)
    filled = psql(url, "-v", "ON_ERROR_STOP=1", "-v", f"subjects={subjects}", "-v", f"rows={rows}", "-v", f"large={large}",
                  "-f", os.path.join(stacks.REPO, "tests", "bench", "snapshot.sql"))
    if filled.returncode != 0:
        raise procs.Failure(f"the data can't be made: {filled.stderr}")
    result = {"subjects": subjects, "rows": rows, "engines": {}}
    for engine in ("sqlite", "duckdb") if os.path.exists(LIBRARY) else ("sqlite",):
        result["engines"][engine] = of_engine(bench, url, engine, large)
        print(f"{engine}: {json.dumps(brief(result['engines'][engine]))}", flush=True)
    bench.programs.stop(process)
    return result


def psql(url, *arguments):
    return subprocess.run(["psql", "-qXAt", *arguments, url], capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"})


def of_engine(bench, url, engine, large):
    config = os.path.join(bench.ram, f"worker-{engine}.yaml")
    with open(config, "w", encoding="utf-8") as file:
        file.write(f"worker: {{data_dir: {bench.ram}/snapshots-{engine}, duckdb_library: {LIBRARY}}}\nsnapshot_engine: {engine}\n"
                   "root_table: customers\ntables:\n  - {name: customers, mask: {name: redact, email: hash}}\n"
                   "  - {name: orders, parent: customers, fk: customer_id}\n  - {name: items, parent: orders, fk: order_id}\n")
    program = [os.path.join(bench.tools, "snapshot"), url, config, str(large), "1" if bench.quick else str(ROUNDS)]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise procs.Failure(f"snapshots with {engine}: {done.stderr}")
    return json.loads(done.stdout)


def pairs(measured_engine):
    """How many times COPY each export took; they were made in turn."""
    values = [export / copied for export, copied in zip(measured_engine["export_ms"], measured_engine["copy_ms"])]
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def brief(measured_engine):
    return {"export_ms": statistics.median(measured_engine["export_ms"]), "copy_ms": statistics.median(measured_engine["copy_ms"]),
            "of_copy": pairs(measured_engine)["median"], "warm_added_ms": measured_engine["warm_tool_ms"] - measured_engine["warm_engine_ms"]}
