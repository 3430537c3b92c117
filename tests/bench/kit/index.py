"""Line: searching the audit log. A log of many rows of many tenants is written, indexed, and asked for pages, as the console asks; what
counts is the longest page of any question."""

import json
import os
import shutil
import subprocess
import tempfile

ROWS = 10_000_000
PAGES = 20


def run(bench, _field):
    """On the disk's volume: the log is larger than what should be in memory for it."""
    rows, pages = (100_000, 3) if bench.quick else (ROWS, PAGES)
    place = tempfile.mkdtemp(prefix="index.", dir=bench.disk)
    try:
        program = os.path.join(bench.tools, "audit_index")
        text = subprocess.run([program, place, str(rows), str(pages)], check=True, capture_output=True, text=True).stdout
    finally:
        shutil.rmtree(place)
    found = json.loads(text)
    worst = longest(found)
    print(f"  {rows:,} rows: {found['rows_per_s']:.0f} rows/s into the index, {found['cpu_us_per_row']:.1f} µs of CPU each; "
          f"longest page {worst['longest_us'] / 1000:.1f} ms ({worst['question']})", flush=True)
    found["pages"] = pages
    return found


def longest(found):
    return max(found["questions"], key=lambda question: question["longest_us"])


def ratios(raw):
    value = longest(raw)["longest_us"] / 1000
    return {"index_longest_page_ms": {"median": value, "low": value, "high": value}}
