"""Holds what callers were told, what watchers saw and what is in the state against the audit log."""

import collections
import glob
import hashlib
import http.client
import json
import os
import shutil
import sqlite3
import subprocess
import time
import urllib.parse

from programs import ARCHIVE, AUDIT, HOST, PORT, STACK, STATE, TOKEN, airlockctl

CALL_CODES = ("no_worker", "timeout", "overloaded", "cancelled", "protocol_error")
# Of the rows about a tenant those that go when its rule says so.
USE = ("tool.call", "mcp.request", "call.late", "worker.vouch", "access.refused", "mcp.refused")
DAY = 86400


# --- files ------------------------------------------------------------------------------

def closed_files(folder):
    """{name without .zst: path}, in the log's order. One may be there plain and compressed for a moment."""
    paths = glob.glob(f"{folder}/audit-*.jsonl") + glob.glob(f"{folder}/audit-*.jsonl.zst")
    return {os.path.basename(path).removesuffix(".zst"): path
            for path in sorted(paths, key=lambda path: (path.removesuffix(".zst"), not path.endswith(".zst")))}


def content(path):
    if path.endswith(".zst"):
        return subprocess.run(["zstd", "-dcq", path], check=True, stdout=subprocess.PIPE).stdout
    with open(path, "rb") as f:
        return f.read()


def kept_lines():
    """What is there of the log, while its keeper works on it: a file that went away meanwhile is looked for again."""
    while True:
        try:
            return [line for path in [*closed_files(STATE).values(), AUDIT] for line in content(path).split(b"\n") if line]
        except (FileNotFoundError, subprocess.CalledProcessError):
            time.sleep(0.02)


def last_seq():
    with open(AUDIT, "rb") as f:
        return json.loads(f.read().splitlines()[-1])["seq"]


def whole_log():
    """A folder with every row that ever was: what was archived, and behind it what was not yet."""
    folder = f"{STACK}/whole"
    os.mkdir(folder)
    for path in {**closed_files(STATE), **closed_files(ARCHIVE)}.values():
        shutil.copy(path, folder)
    shutil.copy(AUDIT, folder)
    return folder


def epoch(row):
    return time.mktime(time.strptime(row["ts"][:19], "%Y-%m-%dT%H:%M:%S")) - time.timezone


def outlived():
    """How many rows are there that a tenant's rule of one day has no place for. A file's rows are as old as the next
    file's first one says. Newer files are not looked at: their keeper works on them."""
    paths, left = [*closed_files(STATE).values(), AUDIT], 0
    try:
        files = ([json.loads(line) for line in content(path).split(b"\n") if line] for path in paths)
        rows = next(files)
        for after in files:
            first = next((row for row in after if "ts" in row and row["event"] != "seal"), None)
            if first and epoch(first) >= time.time() - DAY:
                break
            if first:  # the newest file may have none yet
                left += sum(row["event"] in USE and row.get("tenant_id", "").startswith("t_old-") for row in rows)
            rows = after
    except (FileNotFoundError, subprocess.CalledProcessError):
        return 1  # one is just being written anew
    return left


# --- while the control plane runs: searching ------------------------------------------------

def export(query):
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=60)
    connection.request("GET", f"/v1/admin/audit/export?{query}", headers={"Authorization": f"Bearer {TOKEN}", "Host": HOST})
    answer = connection.getresponse()
    text = answer.read()
    if answer.status != 200:
        raise ValueError(f"an export ended with {answer.status}: {text[:200]!r}")
    return [line for line in text.split(b"\n") if line]


def judge_searches(word, problems):
    """Each search gives the log's own lines, all of them and in order. Returns how many lines that were."""
    def of(event, **members):
        return lambda row: (row["event"] == event or (event.endswith("*") and row["event"].startswith(event[:-1]))) and \
            all(row.get(name) == value for name, value in members.items())
    found = 0
    for query, wanted in (
            ("event=tenant.create", of("tenant.create")), ("event=key.*", of("key.*")), ("event=session.*", of("session.*")),
            ("event=tool.call&outcome=no_worker", of("tool.call", outcome="no_worker")),
            ("tenant=t_fintech&event=worker.*", of("worker.*", tenant_id="t_fintech")),
            (f"event=tenant.create&q={urllib.parse.quote(word)}", lambda row: (row.get("change") or {}).get("slug") == word)):
        before = {line for line in kept_lines() if wanted(json.loads(line))}
        lines = export(query)
        after = {line for line in kept_lines() if wanted(json.loads(line))}
        if not before & after <= set(lines) <= before | after:
            problems.append(f"a search for {query} gave {len(lines)} rows of {len(before)} to {len(after)}")
        if lines != sorted(lines, key=lambda line: json.loads(line)["seq"]) or len(set(lines)) != len(lines):
            problems.append(f"a search for {query} gave rows out of order, or twice")
        found += len(lines)
    return found


# --- at the end -------------------------------------------------------------------------------

class Log:
    def __init__(self, folder):
        self.rows, self.digests, self.broken = [], [], 0
        for path in [*closed_files(folder).values(), f"{folder}/audit.jsonl"]:
            for line in content(path).split(b"\n"):
                if line:
                    self.take(line)
        self.calls, self.refused = collections.defaultdict(list), collections.Counter()
        self.changes = collections.defaultdict(collections.Counter)  # {event: {target: rows}}
        self.requests = collections.Counter()  # of changes
        self.events = collections.Counter(row["event"] for row in self.rows)
        for row in self.rows:
            if row["event"] == "tool.call":
                self.calls[row["request_id"]].append(row)
            elif row["event"] in ("mcp.refused", "access.refused"):
                self.refused[row["request_id"], row["outcome"]] += 1
            elif row["event"] in ("tenant.create", "key.create", "key.revoke", "tenant.keep"):
                self.changes[row["event"]][row["target"]] += 1
                self.requests[row["event"], row.get("request_id")] += 1

    def take(self, line):
        try:
            self.rows.append(json.loads(line))
            self.digests.append(hashlib.sha256(line).digest())
        except ValueError:
            self.broken += 1


def fault_of_call(answer, log):
    rid, code = answer["request_id"], answer["code"]
    rows = log.calls[rid]
    if code == "overloaded" and log.refused[rid, code]:  # its key waited too long after a start
        if log.refused[rid, code] != 1 or rows:
            return f"{log.refused[rid, code]} rows of a refusal and {len(rows)} of a call:"
    elif answer["outcome"] or code in CALL_CODES:
        want = answer["outcome"] or code
        if len(rows) != 1 or (rows[0]["outcome"] != want and code != "timeout"):
            return f"rows {[row['outcome'] for row in rows]} of"
        if answer["sha256"] and rows[0]["result_sha256"] != answer["sha256"]:
            return "the row is of another result than"
    elif code == "tunnel_daemon_unreachable" and log.refused[rid, code] != 1:
        return f"{log.refused[rid, code]} rows of a refusal:"
    elif code == "audit_unavailable" and log.refused[rid, code] > 1:
        return f"{log.refused[rid, code]} rows of a refusal:"
    return None


def fault_of_change(answer, log, made):
    event, target = answer["kind"], answer["target"]
    if answer["status"] < 300:
        # What may have been asked for before has the row of the request that did it.
        again = answer.get("once") or event == "key.revoke"
        rows = log.changes[event][target] if again else log.requests[event, answer["request_id"]]
        if rows != 1:
            return f"{rows} rows of"
        if event != "tenant.keep" and target not in made[event]:
            return "acknowledged and not there:"
    elif answer.get("once") and answer["status"] == 409:
        return "asked for once more and not recognised:"
    elif event == "tenant.create" and not answer["once"] and answer["code"] != "application_unreachable":
        if f"t_{answer['slug']}" in made[event]:
            return "refused and there:"
    return None


def judge_answers(answers, log, made, problems):
    tally = collections.Counter()
    for answer in answers:
        tally[f"{answer['kind']} {answer['status']} {answer['code'] or answer['outcome'] or ''}".strip()] += 1
        if not answer["right"]:
            problems.append(f"the answer to another question: {answer}")
        fault = fault_of_call(answer, log) if answer["kind"] == "call" else fault_of_change(answer, log, made)
        if fault:
            problems.append(f"{fault} an answer: {answer}")
    problems += [f"{len(rows)} rows of request {rid}" for rid, rows in log.calls.items() if len(rows) > 1]
    return tally


def things_made():
    """What the state says was done, for each event: by the campaign alone."""
    db = sqlite3.connect(f"file:{STATE}/state.db?mode=ro", uri=True)
    ours = "tenant_id LIKE 't_crash-%' OR tenant_id LIKE 't_old-%'"
    made = {"tenant.create": "SELECT id FROM tenants WHERE " + ours.replace("tenant_id", "id"),
            "tenant.keep": "SELECT id FROM tenants WHERE audit_keep_days = 1",
            "key.create": f"SELECT id FROM api_keys WHERE {ours}",
            "key.revoke": f"SELECT id FROM api_keys WHERE revoked_at > 0 AND ({ours})"}
    made = {event: {row[0] for row in db.execute(sql)} for event, sql in made.items()}
    left = db.execute("SELECT count(*) FROM outbox").fetchone()[0]
    db.close()
    return made, left


def judge_state(log, made, others, problems):
    """What was done has its one row, and what has a row was done; `others` are targets from before."""
    for event, there in made.items():
        rows = {target: count for target, count in log.changes[event].items() if target not in others}
        problems += [f"{event} of {target} has no row" for target in there - rows.keys()]
        problems += [f"{event} of {target} has a row and was not done" for target in rows.keys() - there]
        if event != "tenant.keep":
            problems += [f"{event} of {target} has {count} rows" for target, count in rows.items() if count != 1]


def judge_watcher(watcher, name, after, wanted, log, problems):
    problems += [f"the watcher of {name} got {fault}" for fault in watcher.faults]
    rows = [(row["seq"], digest) for row, digest in zip(log.rows, log.digests) if row["seq"] > after and wanted(row)]
    got = watcher.rows
    rows = [row for row in rows if row[0] <= got[-1][0]] if got else rows
    if got != rows:
        missed, more = set(rows) - set(got), set(got) - set(rows)
        problems.append(f"the watcher of {name} missed {len(missed)} rows {sorted(s for s, _ in missed)[:5]} and has "
                        f"{len(more)} that are not in the log, {len(got) - len(set(got))} twice")


def judge_files(problems):
    """What is archived is what is kept, where nothing has expired in it. Returns what became of the files."""
    kept, archived = closed_files(STATE), closed_files(ARCHIVE)
    sealed = 0
    for name in kept.keys() & archived.keys():
        bytes_kept = content(kept[name])
        if b'"event":"seal"' in bytes_kept.split(b"\n", 1)[0]:
            sealed += 1
        elif bytes_kept != content(archived[name]):
            problems.append(f"{name} is not what was archived")
    return {"closed": len(kept.keys() | archived.keys()), "archived": len(archived),
            "compressed": sum(path.endswith(".zst") for path in kept.values()), "with expired rows": sealed,
            "deleted": len(archived.keys() - kept.keys())}


def judge_proof(folder, problems):
    """The chain, the signatures and the workers' word: of what is kept, and of all that ever was."""
    counts = {}
    for name, args in (("kept", ()), ("whole", ("--file", folder, "--public-key", f"{STACK}/cp.pem"))):
        status, text = airlockctl("audit", "verify", "--json", *args)
        if status != 0:
            problems.append(f"the {name} log does not hold: {text}")
        else:
            counts[name] = json.loads(text)
    vouched = counts.get("whole", {}).get("vouched", {})
    if vouched and (vouched["calls"] == 0 or vouched["unknown"] > 0 or vouched["unenrolled"] > 0):
        problems.append(f"what workers vouch for: {vouched}")
    return counts
