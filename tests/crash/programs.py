"""The programs of a control plane, kept running as a service manager does, and what the stack of the test gives them
(tests/e2e/lib/stack.bash, which exports STACK, BIN, URL, ...)."""

import os
import signal
import subprocess
import threading
import time

STACK, BIN, URL = os.environ["STACK"], os.environ["BIN"], os.environ["URL"]
LOG, STATE, AUDIT = os.environ["LOG"], os.environ["STATE"], os.environ["AUDIT"]
PORT = int(os.environ["PORT"])
KEY, TOKEN, SUBJECT = os.environ["KEY"], os.environ["OPERATOR_TOKEN"], os.environ["SUBJECT"]
CONTROL, ARCHIVE = os.environ["FAULT_CONTROL"], os.environ["ARCHIVE"]
DISK = os.environ.get("DISK")  # a small file system of its own under the state, or none
HOST = URL.split("//")[1]
ORDER = ("tunneld", "fcgi-app", "front", "worker")


class Program(threading.Thread):
    """One program, started again when it ends; what is left of its process group is killed first."""

    def __init__(self, name, argv, env):
        super().__init__(daemon=True)
        self.name, self.argv, self.env = name, argv, env
        self.process, self.ending, self.starts = None, False, 0
        self.up = threading.Event()

    def run(self):
        while not self.ending:
            with open(f"{LOG}/{self.name}.log", "ab") as log:
                self.process = subprocess.Popen(self.argv, env=self.env, stdin=subprocess.DEVNULL, stdout=log,
                                                stderr=log, start_new_session=True)
            self.starts += 1
            began = time.monotonic()
            self.up.set()
            self.process.wait()
            self.up.clear()
            self.signal_group(signal.SIGKILL)
            if not self.ending and time.monotonic() - began < 0.1:
                time.sleep(0.1)  # a program that ends at once is not started in a tight loop

    def signal_group(self, number):
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            pass

    def children(self):
        try:
            with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children") as f:
                return [int(pid) for pid in f.read().split()]
        except OSError:
            return []

    def end(self):
        self.ending = True
        if self.process and self.process.poll() is None:
            self.signal_group(signal.SIGCONT)
            self.process.terminate()
        self.join(40)
        if self.is_alive():
            self.signal_group(signal.SIGKILL)
            self.join(5)


def environment():
    with open(f"{STACK}/env") as f:
        return dict(line.rstrip("\n").split("=", 1) for line in f if "=" in line)


def programs(names=ORDER, clock=None):
    """Those of that name, in the order they are started. The daemon that keeps the log has a disk that can fail, and
    takes it to be `clock` seconds later than it is."""
    env = environment()
    faulty = dict(env, LD_PRELOAD=os.environ["FAULT_SO"], FAULT_CONTROL=CONTROL, FAULT_FILE="audit.jsonl",
                  ASAN_OPTIONS="verify_asan_link_order=0")
    if clock:
        faulty["LD_PRELOAD"] += ":" + os.environ["CLOCK_SO"]
        faulty["CLOCK_AHEAD_S"] = str(clock)
    front = ["nginx", "-c", f"{STACK}/front/conf", "-p", f"{STACK}/front", "-e", f"{LOG}/front.log", "-g", "daemon off;"]
    worker = [f"{BIN}/airlock-worker", "run", "--config", f"{STACK}/workers/worker-fintech/airlock.yaml"]
    how = {"tunneld": ([f"{BIN}/airlock-tunneld"], faulty), "fcgi-app": ([f"{BIN}/airlock-fcgi-app"], env),
           "front": (front, env), "worker": (worker, dict(env, DATABASE_URL=os.environ["DATABASE_URL"]))}
    return {name: Program(name, *how[name]) for name in names}


def end_all(stack):
    for name in reversed(ORDER):
        if name in stack:
            stack[name].end()


def airlockctl(*args):
    """(status, what it printed)."""
    ran = subprocess.run([f"{BIN}/airlockctl", *args], env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                         text=True)
    return ran.returncode, ran.stdout
