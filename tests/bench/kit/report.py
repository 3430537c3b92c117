"""The target ratios, and docs/performance.md from its template and the raw results."""

import json
import os
import platform
import re
import subprocess
import time

from . import audit, index, load, stacks, worker

TEMPLATE = os.path.join(stacks.REPO, "tests", "bench", "performance.md.in")
DOCUMENT = os.path.join(stacks.REPO, "docs", "performance.md")

# name: what it is, "at least" or "at most", the target.
TARGETS = {
    "relay64_ram_of_ceiling": ("calls a second with 64 callers, of the ceiling; audit on RAM", "at least", 0.50),
    "relay64_disk_of_ceiling": ("the same, audit on disk", "at least", 0.40),
    "relay64_vs_starlette": ("calls a second with 64 callers, to the Starlette shape", "at least", 2.5),
    "relay64_p99_vs_starlette": ("p99 with 64 callers, to the Starlette shape", "at most", 0.5),
    "cpu_per_call_vs_starlette": ("CPU of a call without the front, to the Starlette shape", "at most", 0.35),
    "relay64_p99_of_ceiling": ("p99 with 64 callers, to the ceiling", "at most", 4.0),
    "added_p50_of_ceiling": ("round trip of one caller (p50), to the ceiling; audit on RAM", "at most", 3.0),
    "bytes_1mib_of_ceiling": ("bytes a second in results of 1 MiB, of the ceiling", "at least", 0.50),
    "payload_growth_bodies": ("memory a process takes for a result, in bodies, the worst", "at most", 2.0),
    "tunnel_own_bytes": ("bytes of an idle tunnel beyond the library's 5,900", "at most", 4096),
    "tunnels5000_rest_cpu_percent": ("CPU of tunneld at rest with 5,000 tunnels, % of a core", "at most", 1.0),
    "export10k_of_copy": ("a first call: 10,000 rows copied into a snapshot, to COPY of them", "at most", 2.0),
    "warm100_added_ms": ("100 rows of a warm snapshot: what the tool adds to the engine, ms", "at most", 1.0),
    "audit_rows_of_limit": ("audit rows a second, to a bare loop of writes and syncs; the worst of 1, 32, 256 callers", "at least", 0.80),
    "audit_verify_of_sha256sum": ("speed of `airlockctl audit verify`, to `sha256sum` of the same file", "at least", 0.50),
    "index_longest_page_ms": ("a page of a search of 10 million audit rows, the longest of all questions, ms", "at most", 50),
    "idle_cp_mib": ("memory of the idle control plane (pool of 2, tunneld), MiB PSS", "at most", 20),
}


def summarize(raw):
    """Every ratio that the raw results allow, by name."""
    found = {}
    if "relay" in raw:
        found.update(relay_ratios(raw["relay"]["runs"]))
    if "1 MiB" in raw.get("payload", {}):
        runs = raw["payload"]["1 MiB"]["runs"]
        found["bytes_1mib_of_ceiling"] = load.ratio(runs["relay_ram"], runs["hello"], "mb_per_s")
        # A small body says nothing: a page of anything is many of them.
        large = [size["growth_in_bodies"]["relay_ram"] for size in raw["payload"].values() if size["bytes"] >= 1 << 20]
        found["payload_growth_bodies"] = single(max(value for roles in large for role, value in roles.items() if role != "worker"))
    if "tunnels" in raw:
        rows = raw["tunnels"]["direct"]
        found["tunnel_own_bytes"] = single(rows[-1]["own_bytes"])
        nearest = min(rows, key=lambda row: abs(row["tunnels"] - 5000))
        found["tunnels5000_rest_cpu_percent"] = single(nearest["rest_cpu_percent"])
    if "worker" in raw:
        sqlite = raw["worker"]["engines"]["sqlite"]
        found["export10k_of_copy"] = worker.pairs(sqlite)
        found["warm100_added_ms"] = single(sqlite["warm_tool_ms"] - sqlite["warm_engine_ms"])
    if "cold" in raw:
        found["idle_cp_mib"] = single(raw["cold"]["idle"]["total"])
    if "audit" in raw:
        found.update(audit.ratios(raw["audit"]))
    if "index" in raw:
        found.update(index.ratios(raw["index"]))
    return {name: found[name] for name in TARGETS if name in found}


def relay_ratios(runs):
    ram, hello, shape = (runs["64"][name] for name in ("relay_ram", "hello", "starlette"))
    cost = [{"total": load.total_cpu(run)} for run in ram], [{"total": load.total_cpu(run)} for run in shape]
    return {
        "relay64_ram_of_ceiling": load.ratio(ram, hello, "rps"),
        "relay64_disk_of_ceiling": load.ratio(runs["64"]["relay_disk"], hello, "rps"),
        "relay64_vs_starlette": load.ratio(ram, shape, "rps"),
        "relay64_p99_vs_starlette": load.ratio(ram, shape, "p99"),
        "cpu_per_call_vs_starlette": load.ratio(*cost, "total"),
        "relay64_p99_of_ceiling": load.ratio(ram, hello, "p99"),
        "added_p50_of_ceiling": load.ratio(runs["1"]["relay_ram"], runs["1"]["hello"], "p50"),
    }


def single(value):
    return {"median": value, "low": value, "high": value}


def met(name, value):
    _, sense, target = TARGETS[name]
    return value >= target if sense == "at least" else value <= target


def write(bench_out, raw, machine):
    """summary.json: the medians by name, and beside them spread, targets and verdicts."""
    ratios = summarize(raw)
    summary = {name: value["median"] for name, value in ratios.items()}
    summary["spread"] = {name: [value["low"], value["high"]] for name, value in ratios.items()}
    summary["targets"] = {name: {"sense": TARGETS[name][1], "target": TARGETS[name][2], "met": met(name, value["median"])}
                          for name, value in ratios.items()}
    summary["machine"] = machine
    store(os.path.join(bench_out, "summary.json"), summary)
    return summary


def store(path, value):
    with open(path + ".new", "w", encoding="utf-8") as file:
        json.dump(value, file, indent=1)
        file.write("\n")
    os.replace(path + ".new", path)


def machine(bench):
    """What it ran on, and in which versions."""
    def said(*command):
        try:
            result = subprocess.run(command, capture_output=True, text=True, check=False)
        except OSError:
            return "absent"
        return (result.stdout or result.stderr).strip().splitlines()[0] if (result.stdout or result.stderr).strip() else "unknown"

    def package(name):
        return said("dpkg-query", "-W", "-f", "${Version}", name)

    with open("/proc/cpuinfo", encoding="utf-8") as file:
        cpu = re.search(r"model name\s*:\s*(.+)", file.read())
    with open("/proc/meminfo", encoding="utf-8") as file:
        memory = int(re.search(r"MemTotal:\s+(\d+)", file.read()).group(1)) // 2**20
    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime()), "cpu": cpu.group(1) if cpu else platform.machine(), "cores": os.cpu_count(),
        "memory_gib": memory, "kernel": platform.release(), "seconds": bench.seconds,
        "ram_volume": said("findmnt", "-n", "-o", "FSTYPE", "-T", bench.ram), "disk_volume": said("findmnt", "-n", "-o", "FSTYPE", "-T", bench.disk),
        "versions": {
            "airlock": said(os.path.join(bench.bin, "airlockctl"), "--version").split()[-1],
            "nginx": said("nginx", "-v").split("/")[-1], "libfcgi": package("libfcgi0ldbl"), "libwebsockets": package("libwebsockets17"),
            "sqlite": package("libsqlite3-0"), "compiler": said("gcc", "--version"), "wrk": package("wrk"),
            "python": platform.python_version(), "starlette": package("python3-starlette"), "uvicorn": package("python3-uvicorn"),
            "uvloop": package("python3-uvloop"), "httptools": package("python3-httptools"), "websockets": package("python3-websockets"),
            "node": said(os.path.join(stacks.REPO, "tests", "node_modules", ".bin", "node"), "--version"),
            "mcp_sdk": sdk_version(),
        },
    }


def sdk_version():
    with open(os.path.join(stacks.REPO, "tests", "package.json"), encoding="utf-8") as file:
        return json.load(file)["dependencies"]["@modelcontextprotocol/sdk"]


# --- tables -----------------------------------------------------------------------------------------------------


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(map(str, row)) + " |" for row in rows])


def number(value):
    if value is None:
        return "n/a"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"


def targets_table(raw, _machine):
    rows = []
    for name, value in summarize(raw).items():
        what, sense, target = TARGETS[name]
        good = met(name, value["median"])
        distance = value["median"] / target - 1
        verdict = "met" if good else f"**missed** by {abs(distance):.0%}"
        spread = f"{number(value['low'])} to {number(value['high'])}" if value["low"] != value["high"] else ""
        rows.append((f"`{name}`", what, number(value["median"]), spread, f"{sense} {number(target)}", verdict))
    return table(("name", "what", "measured", "spread", "target", ""), rows)


LABELS = {"relay_ram": "relay, audit on RAM", "relay_disk": "relay, audit on disk", "relay_interval": "relay, disk, `audit.fsync: interval`",
          "hello": "(a) ceiling: FastCGI hello", "static": "(b) nginx, a static file", "starlette": "(c) Starlette shape",
          "sdk": "(d) SDK's server, no front, no tunnel"}


def relay_table(raw, _machine):
    rows = []
    for callers, targets in raw["relay"]["runs"].items():
        for name, runs in targets.items():
            of_ceiling = load.ratio(runs, targets["hello"], "rps")["median"]
            cost = ", ".join(f"{role} {number(load.middle(runs, 'cpu_us', role))}" for role in runs[0]["cpu_us"])
            rates = sorted(run["rps"] for run in runs)
            wrong = sum(run["not_2xx"] + run["broken"] for run in runs)
            rows.append((callers, LABELS[name], number(of_ceiling), f"{number(load.middle(runs, 'rps'))} ({number(rates[0])} to {number(rates[-1])})",
                         *(number(load.middle(runs, p) / 1000) for p in ("p50", "p95", "p99")), cost,
                         number(sum(load.middle(runs, "switches", role) for role in runs[0]["switches"])), wrong or ""))
    return table(("callers", "what", "of the ceiling", "calls/s (low to high)", "p50 ms", "p95 ms", "p99 ms", "CPU a call, µs", "context switches a call", "errors"), rows)


def system_calls_table(raw, _machine):
    rows = []
    for callers, targets in raw["relay"]["system_calls"].items():
        for name, roles in targets.items():
            rows.append((callers, LABELS[name], ", ".join(f"{role} {number(value)}" for role, value in roles.items())))
    return table(("callers", "what", "system calls a call"), rows)


def latency_table(raw, _machine):
    runs = raw["relay"]["runs"]["1"]
    tool = raw["relay"]["in_process_ns"] / 1000
    rows = [("the tool, called in the worker's own process", number(tool), "", "")]
    for name in ("hello", "relay_ram", "relay_interval", "relay_disk", "starlette"):
        p50 = load.middle(runs[name], "p50")
        rows.append((LABELS[name], number(p50), number(p50 - tool), number(load.ratio(runs[name], runs["hello"], "p50")["median"])))
    return table(("one caller", "p50 µs", "added µs", "of the ceiling"), rows)


def payload_table(raw, _machine):
    rows = []
    for name, size in raw["payload"].items():
        runs = size["runs"]
        growth = ", ".join(f"{role} {number(value)}" for role, value in size["growth_in_bodies"]["relay_ram"].items()) if size["bytes"] >= 1 << 16 else ""
        rows.append((name, number(load.ratio(runs["relay_ram"], runs["hello"], "mb_per_s")["median"]), number(load.middle(runs["relay_ram"], "mb_per_s")),
                     number(load.middle(runs["hello"], "mb_per_s")), number(load.middle(runs["relay_ram"], "p99") / 1000), growth))
    return table(("result", "of the ceiling", "relay MB/s", "hello MB/s", "relay p99 ms", "growth, in bodies"), rows)


def tunnels_table(raw, _machine):
    rows = [(f"{row['tunnels']:,}", number(row["bytes_per_tunnel"]), number(row["own_bytes"]), number(row["rest_cpu_percent"]), number(row["handshakes_per_s"]),
             number(row["handshake_cpu_us"]), number(row["calls"]["rps"]["median"]), number(row["calls"]["p99"]["median"])) for row in raw["tunnels"]["direct"]]
    text = table(("tunnels", "bytes each", "beyond the library's", "CPU at rest, %", "handshakes/s", "CPU of one, µs", "call rate, of that without", "p99, of that without"), rows)
    last, front = raw["tunnels"]["direct"][-1], raw["tunnels"]["front"]
    return text + (f"\n\nAfter a restart of tunneld all {last['tunnels']:,} stood again {number(last['reconnect']['all_s'])} s after the new one's start. "
                   f"Through the front, {front['tunnels']:,} tunnels took {number(front['bytes_per_tunnel'])} bytes each in nginx; "
                   f"{number(front['handshakes_per_s'])} handshakes/s.")


def growth_table(raw, _machine):
    rows = [(f"{row['count']:,} {row['kind']}" if row["count"] else "a second control plane, nothing more", *(
        f"{number(row[name]['median'])} ({number(row[name]['low'])} to {number(row[name]['high'])})" for name in ("rps", "p50", "p99"))) for row in raw["growth"]["rows"]]
    starts = [(f"{row['history']:,}" if row["history"] else "what the bench had written", f"{row['bytes'] / 1e6:,.0f}", number(row["seconds"] * 1000)) for row in raw["growth"]["start"]]
    return table(("state", "calls/s", "p50", "p99"), rows) + "\n\n" + table(("audit rows", "MB", "start-up ms"), starts)


def cold_table(raw, _machine):
    cold = raw["cold"]
    return table(("what", "measured"), [
        ("a key's first call (Argon2id), ms", number(cold["argon2"]["first_ms"])), ("its later calls, ms", number(cold["argon2"]["later_ms"])),
        ("start of tunneld and the pool, to `/health` through the front, ms", f"{number(cold['start']['median_ms'])} (at most {number(cold['start']['high_ms'])})"),
        ("a subject's first query: its snapshot is made, ms", f"{number(cold['snapshot']['miss_ms'])} (at most {number(cold['snapshot']['miss_high_ms'])})"),
        ("its later queries, ms", number(cold["snapshot"]["warm_ms"])),
        ("drain of the pool in the middle of 16 callers' load, ms", number(cold["drain"]["fcgi-app_ms"])),
        ("drain of tunneld, ms", number(cold["drain"]["tunneld_ms"])),
        ("calls broken off by that", f"{cold['drain']['cut_off']} of {cold['drain']['calls']:,}; {cold['drain']['answered_503_while_down']} were answered 503 while no pool was there"),
        ("memory at rest, MiB PSS", f"{number(cold['idle']['total'])} (pool {number(cold['idle']['fcgi-app'])}, tunneld {number(cold['idle']['tunneld'])})"),
        ("the same after all the load above", number(cold["idle_after_load"]["total"]))])


def worker_table(raw, _machine):
    rows = []
    for name, engine in raw["worker"]["engines"].items():
        of_copy = worker.pairs(engine)
        middle = {key: sorted(engine[key])[len(engine[key]) // 2] for key in ("export_ms", "copy_ms", "again_ms")}
        rows.append((name, number(of_copy["median"]), f"{number(of_copy['low'])} to {number(of_copy['high'])}", number(middle["export_ms"]), number(middle["copy_ms"]),
                     number(middle["again_ms"]), number(engine["warm_tool_ms"]), number(engine["warm_engine_ms"]), number((engine["peak_kib"] - engine["before_kib"]) / 1024)))
    return (f"{raw['worker']['rows']:,} rows of {raw['worker']['subjects']:,} subjects.\n\n"
            + table(("engine", "first call, of COPY", "low to high", "first call ms", "COPY ms", "next call ms", "100 rows ms", "the engine's part", "memory it took, MiB"), rows))


def middle_run(runs):
    return sorted(runs, key=lambda run: run["rows_per_s"] / run["limit_rows_per_s"])[len(runs) // 2]


def audit_table(raw, _machine):
    rows = []
    for callers, runs in raw["audit"]["journal"].items():
        for how, middle in (("", middle_run(runs)), (", indexed meanwhile", middle_run(raw["audit"]["indexed"][callers]))):
            rows.append((f"{callers}{how}", number(middle["rows_per_s"]), number(middle["limit_rows_per_s"]), number(middle["rows_per_s"] / middle["limit_rows_per_s"]),
                         number(middle["rows_per_batch"]), number(middle["p50_us"] / 1000), number(middle["limit_batch_us"] / 1000)))
    size = raw["audit"]["verify"]["bytes"] / 1e6
    speeds = [(size / run["verify_s"], size / run["sha256sum_s"]) for run in raw["audit"]["verify"]["runs"]]
    best = max(speeds)
    return (table(("callers", "rows/s", "bare loop", "of it", "rows a batch", "p50 ms", "bare write and sync, ms"), rows)
            + f"\n\nVerified: {number(best[0])} MB/s, beside {number(best[1])} MB/s of `sha256sum`, over {number(size)} MB in memory.")


def index_table(raw, _machine):
    found = raw["index"]
    rows = [(question["question"], number(question["p50_us"] / 1000), number(question["longest_us"] / 1000), f"{question['found']:,}")
            for question in found["questions"]]
    return (f"{found['rows']:,} rows, {found['pages']} pages of 50 rows of each question.\n\n" + table(("question", "p50 ms", "longest ms", "rows found"), rows)
            + f"\n\nInto the index: {number(found['cpu_us_per_row'])} µs of CPU a row, {number(found['rows_per_s'])} rows/s; "
              f"it takes {number(found['index_bytes_per_row'])} bytes a row.")


def profile_table(raw, _machine):
    profile = raw["profile"]
    small = [(role, often(symbols), ", ".join(f"{name} {share:.0f}%" for name, share in profile["top_system_calls"].get(role, [])))
             for role, symbols in profile["top_symbols"].items()]
    large = [(role, often(symbols)) for role, symbols in profile["top_symbols_1mib"].items()]
    return (table(("64 callers", "found most often in", "system calls, by number"), small) + "\n\n"
            + table(("results of 1 MiB", "found most often in"), large))


def often(symbols):
    return ", ".join(f"`{name}` {share:.1f}%" for name, share in symbols[:8])


def machine_text(_raw, about):
    versions = ", ".join(f"{name} {value}" for name, value in about["versions"].items())
    return (f"{about['cpu']}, {about['cores']} cores, {about['memory_gib']} GiB, Linux {about['kernel']}, {about['date']}. "
            f"RAM volume: {about['ram_volume']}; disk: {about['disk_volume']}. Versions: {versions}.")


def seconds_text(_raw, about):
    return str(about["seconds"])


def generator_text(raw, _machine):
    runs = [run for targets in raw["relay"]["runs"].values() for group in targets.values() for run in group]
    relay = [run["generator_cpu"] for targets in raw["relay"]["runs"].values() for run in targets["relay_ram"]]
    return f"at most {max(run['generator_cpu'] for run in runs):.0%} of a core in any run, and at most {max(relay):.0%} in those of the relay"


def audit_text(raw, _machine):
    audit = raw["relay"]["audit"]
    return f"{audit['calls_answered']:,} calls answered, {audit['rows']:,} rows"


PARTS = {"TARGETS": ("relay", targets_table), "RELAY": ("relay", relay_table), "SYSTEM_CALLS": ("relay", system_calls_table),
         "LATENCY": ("relay", latency_table), "PAYLOAD": ("payload", payload_table), "TUNNELS": ("tunnels", tunnels_table),
         "GROWTH": ("growth", growth_table), "COLD": ("cold", cold_table), "WORKER": ("worker", worker_table), "AUDIT_LOG": ("audit", audit_table), "INDEX": ("index", index_table), "PROFILE": ("profile", profile_table),
         "MACHINE": (None, machine_text), "SECONDS": (None, seconds_text), "GENERATOR": ("relay", generator_text), "AUDIT": ("relay", audit_text)}


def part(name, raw, about):
    needs, make = PARTS[name]
    return make(raw, about) if needs is None or needs in raw else "(not measured in this run)"


def document(raw, about):
    """The template with every @NAME@ replaced, and without the notes on targets that were met."""
    with open(TEMPLATE, encoding="utf-8") as file:
        text = file.read()
    ratios = summarize(raw)

    def note(match):
        missed = match.group(1) in ratios and not met(match.group(1), ratios[match.group(1)]["median"])
        return match.group(2) if missed else ""

    text = re.sub(r"<!-- when missed: (\w+)\n(.*?)-->\n", note, text, flags=re.DOTALL)
    return re.sub(r"@([A-Z_]+)@", lambda match: part(match.group(1), raw, about), text)
