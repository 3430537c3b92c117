"""Line: the audit log by itself. Rows a second with durable group commit, beside a bare loop that writes and syncs as much at a
time; and how fast the whole of it is verified, beside sha256sum of the same file."""

import json
import os
import statistics
import subprocess
import time

CALLERS = (1, 32, 256)


def run(bench, _field):
    times = 1 if bench.quick else 5
    journal, indexed = {str(callers): [] for callers in CALLERS}, {str(callers): [] for callers in CALLERS}
    for callers in CALLERS:
        for _ in range(times):
            journal[str(callers)].append(rows(bench, callers))
            indexed[str(callers)].append(rows(bench, callers, "indexed"))
    return {"journal": journal, "indexed": indexed, "verify": verify(bench, 10 if bench.quick else 200, times)}


def rows(bench, callers, *how):
    """On the disk's volume: in memory a sync costs nothing."""
    program = os.path.join(bench.tools, "audit_rows")
    text = subprocess.run([program, bench.disk, str(callers), str(bench.seconds), *how], check=True, capture_output=True, text=True).stdout
    found = json.loads(text)
    print(f"  {callers:>4} callers  {found['rows_per_s']:>8.0f} rows/s, bare loop {found['limit_rows_per_s']:>8.0f}; p50 {found['p50_us'] / 1000:.2f} ms"
          f"{''.join(f' ({word})' for word in how)}", flush=True)
    return found


def verify(bench, megabytes, times):
    """The file is in memory, so that the processor is what is compared."""
    log, key = os.path.join(bench.ram, "verify.jsonl"), os.path.join(bench.ram, "verify.pem")
    with open(key, "w", encoding="ascii") as pem:
        subprocess.run([os.path.join(bench.tools, "audit_log"), log, str(megabytes)], check=True, stdout=pem)
    check = [os.path.join(bench.bin, "airlockctl"), "audit", "verify", "--file", log, "--public-key", key]
    pairs = [{"sha256sum_s": took(["sha256sum", log]), "verify_s": took(check)} for _ in range(times)]
    size = os.path.getsize(log)
    os.unlink(log)
    os.unlink(key)
    return {"bytes": size, "runs": pairs}


def took(command):
    began = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.monotonic() - began


def spread(values):
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def ratios(raw):
    """Of the journal, that of the number of callers with which it is worst."""
    by_callers = [spread([run["rows_per_s"] / run["limit_rows_per_s"] for run in runs]) for runs in raw["journal"].values()]
    return {"audit_rows_of_limit": min(by_callers, key=lambda ratio: ratio["median"]),
            "audit_verify_of_sha256sum": spread([run["sha256sum_s"] / run["verify_s"] for run in raw["verify"]["runs"]])}
