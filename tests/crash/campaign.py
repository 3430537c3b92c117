"""Kills, stops and starves the programs of a control plane under load, again and again, and then holds what its callers were
told against its audit log.

    campaign.py --crashes N --seconds LIMIT --seed S

The stack is that of tests/e2e/lib/stack.bash, configured and not running. A supervisor starts its programs and starts each
again when it ends (programs.py). Agents call a tool, operators make tenants and keys and take keys away, watchers follow
the log (callers.py), while programs are killed and stopped and their disk fails or is full (faults.py). The log is small
files, which are archived, compressed, shortened as tenants' rules say and may be deleted meanwhile: first there are rows of
three days ago, and tenants get a rule of one day one after the other.

At the end (ledger.py):
  - each answer of a call that an agent received has exactly one row with its request id, of the same outcome and with the
    hash of that answer, and the answer is that of its own question;
  - each refusal for want of the tunnel daemon has exactly one row, and for want of the journal at most one (it waits in
    memory, which a kill may take);
  - each change that was acknowledged was made and has exactly one row, also when it was asked for again and again with an
    Idempotency-Key; each that was made has a row, each that has a row was made, and what was refused was not;
  - each watcher, coming back with the id of its last event, has seen every row once, in order, as it is in the log;
  - searches give the log's lines, with the index as the crashes left it, and with one that was made anew;
  - what had to expire has expired, what was archived is what is kept, and nothing else is missing;
  - the chain of the whole log verifies, and what workers vouch for with it.
Each kind of fault must have taken place. After each crash an agent must get an answer again within RECOVERY seconds.
"""

import argparse
import json
import sys
import threading
import time

import ledger
from callers import OLD_TENANTS, Agent, Operator, Watcher
from faults import Faults, kinds, plan
from programs import TOKEN, airlockctl, end_all, programs

AGENTS = 6
RECOVERY = 30
OLD_ROUNDS = 80
BEFORE = -3 * 86400
OWN = ("audit.expire", "audit.delete", "journal.repaired", "worker.vouch", "audit.stream", "session.open")


def wait(done, what, limit=RECOVERY):
    until = time.monotonic() + limit
    while not done():
        if time.monotonic() > until:
            raise TimeoutError(f"waited {limit} s for {what}")
        time.sleep(0.01)


def served_again(what):
    """Until a call has been answered that began now. Returns how long that took."""
    moment = time.monotonic()
    wait(lambda: Agent.last_good > moment, f"a call to be answered after {what}")
    return time.monotonic() - moment


def until_done(ask, limit=RECOVERY):
    """Asks until it was acknowledged; returns all answers that came."""
    answers = []
    wait(lambda: answers.append(ask()) or (answers[-1] and answers[-1]["status"] < 300), "a change to be made", limit)
    return [answer for answer in answers if answer]


def key_of(caller, tenant):
    got = caller.exchange("POST", f"/v1/admin/tenants/{tenant}/keys", {"name": "old", "rate_per_minute": 0},
                          {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"})
    return json.loads(got[2])["key"]


def history():
    """Days ago: tenants whose agents found no worker. Returns who asked."""
    stack, over = programs(("tunneld", "fcgi-app", "front"), BEFORE), threading.Event()
    for program in stack.values():
        program.start()
    operator, agents = Operator(0, over), []
    try:
        for n in range(1, OLD_TENANTS + 1):
            operator.answers += until_done(lambda n=n: operator.make_tenant(f"old-{n}", f"once-old-{n}"))[-1:]
            agents.append(Agent(n, over, f"old-{n}", key_of(operator, f"t_old-{n}")))
        for turn in range(OLD_ROUNDS):
            for agent in agents:
                answer = agent.ask(turn)
                agent.answers += [answer] if answer else []
    finally:
        end_all(stack)
    return [operator, *agents]


def campaign(faults, steps, options):
    """Returns the longest time without service."""
    slowest, end = 0.0, time.monotonic() + options.seconds
    wait(lambda: Agent.good > 0, "the first call to be answered")
    for pause, together in steps:
        if time.monotonic() > end:
            raise TimeoutError(f"only {faults.crashes} of {options.crashes} crashes in {options.seconds} s")
        time.sleep(pause)
        for fault in together:
            faults.do(fault)
        slowest = max(slowest, served_again(dict(faults.count)))
    return slowest


def finish(stack, operator, agent, watchers, problems):
    """Everything works again. Returns how many rows searches found."""
    agent.start()  # the rows that waited for the journal or the daemon come before its own
    served_again("the end")
    while operator.rules < OLD_TENANTS:
        operator.answers += until_done(operator.set_rule)
    stack["tunneld"].process.terminate()  # a start looks after the log's files at once
    served_again("the last start")
    wait(lambda: ledger.outlived() == 0, "rows to expire")
    operator.answers += until_done(lambda: operator.make_tenant("crash-last", "once-crash-last"))
    agent.over.set()
    agent.join(60)
    last = ledger.last_seq()
    wait(lambda: watchers["all"].last >= last, "the watcher of all rows to get the last one")
    wait(lambda: watchers["changes"].rows and watchers["changes"].rows[-1] in watchers["all"].rows[-1000:],
         "the watcher of changes to get the last one")
    found = ledger.judge_searches("crash-last", problems)
    status, text = airlockctl("audit", "reindex")
    if status != 0:
        problems.append(f"the index can't be made anew: {text}")
    ledger.judge_searches("crash-last", problems)
    return found


class Campaign:
    """Everybody who takes part, from the first start to the last end."""

    def __init__(self, options):
        self.options, self.problems = options, []
        before = ledger.Log(ledger.STATE)
        self.others = {target for counts in before.changes.values() for target in counts}  # what others have made
        self.old = history()
        self.after = ledger.last_seq()
        self.stack = programs()
        self.faults = Faults(self.stack)
        self.over, self.watching = threading.Event(), threading.Event()
        self.operators = [Operator(AGENTS + 1, self.over, lambda: self.faults.crashes / options.crashes),
                          Operator(AGENTS + 2, self.over)]
        self.callers = [Agent(n, self.over) for n in range(1, AGENTS + 1)] + self.operators
        self.watchers = {"all": Watcher("", self.after, options.seed, self.watching),
                         "changes": Watcher("event=tenant.*", self.after, options.seed + 1, self.watching)}
        self.last = Agent(99, threading.Event())
        self.slowest, self.found = 0.0, 0

    def run(self):
        for thread in [*self.stack.values(), *self.callers, *self.watchers.values()]:
            thread.start()
        try:
            self.slowest = campaign(self.faults, plan(self.options.seed, self.options.crashes), self.options)
            self.over.set()
            for caller in self.callers:
                caller.join(60)
            self.found = finish(self.stack, self.operators[0], self.last, self.watchers, self.problems)
        except (TimeoutError, ValueError, OSError) as error:
            self.problems.append(str(error))
        finally:
            for event in (self.over, self.last.over, self.watching):
                event.set()
            for thread in [*self.callers, *self.watchers.values()]:
                thread.join(60)
            end_all(self.stack)

    def judge(self):
        """Prints what it was; what was found is in problems."""
        folder, problems = ledger.whole_log(), self.problems
        log = ledger.Log(folder)
        made, left = ledger.things_made()
        if log.broken:
            problems.append(f"{log.broken} lines of the log are no rows")
        if left:
            problems.append(f"{left} rows are still in the outbox")
        answers = [answer for caller in [*self.old, *self.callers, self.last] for answer in caller.answers]
        tally = ledger.judge_answers(answers, log, made, problems)
        ledger.judge_state(log, made, self.others, problems)
        ledger.judge_watcher(self.watchers["all"], "all", self.after, lambda row: True, log, problems)
        ledger.judge_watcher(self.watchers["changes"], "changes", self.after, lambda row: row["event"].startswith("tenant."),
                             log, problems)
        files = ledger.judge_files(problems)
        proofs = ledger.judge_proof(folder, problems)
        problems += [f"{name} did not take place" for name in kinds() if not self.faults.count[name]]
        # Files may be deleted before rows in them expire.
        problems += [f"there is no row {' or '.join(events)}: it was not tried"
                     for events in (("audit.expire", "audit.delete"), ("worker.vouch",))
                     if not any(log.events[event] for event in events)]
        for title, counts in (("faults", self.faults.count), ("answers", tally), ("files", files),
                              ("own rows", {event: log.events[event] for event in OWN})):
            print(f"{title}: " + ", ".join(f"{n} {name}" for name, n in sorted(counts.items())))
        print("starts: " + ", ".join(f"{p.starts} {p.name}" for p in self.stack.values())
              + f"; {sum(c.broken for c in self.callers)} connections broke")
        print("watchers: " + ", ".join(f"{len(w.rows)} rows of {name} over {w.opened} connections"
                                       for name, w in self.watchers.items()))
        for name, proof in proofs.items():
            print(f"{name} log: rows {proof['first_seq']} to {proof['seq']}, {proof['checkpoints']} checkpoints, "
                  f"{proof['expired']} expired; vouched: {json.dumps(proof['vouched'])}")
        return len(answers), len(log.rows)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--crashes", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--seed", type=int, required=True)
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    began = time.monotonic()
    whole = Campaign(options)
    whole.run()
    took = time.monotonic() - began
    answers, rows = whole.judge()
    print(f"{whole.faults.crashes} crashes in {took:.0f} s; {answers} answers, {rows} rows; searches found {whole.found}; "
          f"slowest return to service {whole.slowest:.1f} s")
    for problem in whole.problems[:20]:
        print(f"PROBLEM: {problem}")
    print(f"{len(whole.problems)} problems")
    sys.exit(1 if whole.problems else 0)


main()
