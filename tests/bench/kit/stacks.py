"""What is measured: control planes of our own, and what stands beside them, each behind an nginx with the product's own settings."""

import json
import os
import secrets
import shutil
import socket
import subprocess
import urllib.error
import urllib.request

from . import load, procs

REPO = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
HELLO_THREADS = 96
TENANT = "fintech"
# Documented keys of config.yaml: one tenant with one worker and one key takes all the load here.
LIMITS = {"key_requests_per_minute": 0, "calls_per_session": 1024, "calls_per_tenant": 4096}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answers(url, headers=None):
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers or {}), timeout=5) as reply:
            return reply.status == 200
    except (urllib.error.URLError, OSError):
        return False


class Bench:
    """Where things are, how long a measurement takes, and what was started."""

    def __init__(self, build, out, ram, sockets, seconds, quick):
        self.bin = os.path.join(build, "bin")
        self.tools = os.path.join(build, "bench", "bin")
        self.out, self.ram, self.sockets = out, ram, sockets
        self.seconds, self.quick = seconds, quick
        self.disk = os.path.join(out, "run")
        self.log = os.path.join(out, "log")
        self.programs = procs.Programs()
        self.raw = {}
        for path in (self.disk, self.log):
            shutil.rmtree(path, ignore_errors=True)
            os.makedirs(path, mode=0o700)

    def start(self, name, command, env=None, **options):
        return self.programs.start(command, os.path.join(self.log, f"{name}.log"), env=env, **options)

    def why(self, name):
        return procs.tail(os.path.join(self.log, f"{name}.log"))

    def socket_dir(self, name):
        """Short, because a socket's name may not be long."""
        path = os.path.join(self.sockets, name)
        os.makedirs(path, mode=0o755, exist_ok=True)
        return path

    def finish(self):
        self.programs.stop_all()
        for path in (self.disk, self.ram, self.sockets):
            shutil.rmtree(path, ignore_errors=True)


class Front:
    """nginx, as scripts/render-front writes its configuration for every installation. edit changes the text."""

    def __init__(self, bench, name, run_dir, edit=None):
        self.bench, self.name, self.run_dir, self.edit = bench, name, run_dir, edit
        self.port = free_port()
        self.url = f"http://localhost:{self.port}"
        self.process = None

    def up(self):
        work = os.path.join(self.bench.disk, f"{self.name}-front")
        os.makedirs(work, exist_ok=True)
        text = subprocess.run(
            [os.path.join(REPO, "scripts", "render-front"), "nginx", "--port", str(self.port), "--run-dir", self.run_dir,
             "--www", os.path.join(REPO, "www"), "--work-dir", work], check=True, stdout=subprocess.PIPE, text=True).stdout
        conf = os.path.join(work, "nginx.conf")
        with open(conf, "w", encoding="utf-8") as file:
            file.write(self.edit(text) if self.edit else text)
        log = os.path.join(self.bench.log, f"{self.name}-front.log")
        self.process = self.bench.start(f"{self.name}-front", ["nginx", "-c", conf, "-p", work, "-e", log, "-g", "daemon off;"])


class ControlPlane:
    """tunneld, the FastCGI pool and nginx, with a state of its own on a volume."""

    def __init__(self, bench, name, volume, config=None, environment=None):
        self.bench, self.name = bench, name
        self.state = os.path.join(volume, name)
        self.run_dir = bench.socket_dir(name)
        self.audit = os.path.join(self.state, "audit.jsonl")
        self.token = secrets.token_hex(24)
        self.front = Front(bench, name, self.run_dir)
        self.tunneld = self.app = None
        os.makedirs(self.state, mode=0o700)
        self.env = {
            "PATH": os.environ["PATH"],
            "AIRLOCK_CP_OPERATOR_TOKEN": self.token,
            "AIRLOCK_CP_PUBLIC_URL": self.front.url,
            "AIRLOCK_CP_ALLOW_LOCALHOST_PUBLIC_URL": "true",
            "AIRLOCK_SESSION_SECRET": secrets.token_hex(32),
            "AIRLOCK_CP_CONFIG": os.path.join(self.state, "config.yaml"),
            "AIRLOCK_CP_SNAPSHOT_DIR": os.path.join(self.state, "snapshots"),
            "AIRLOCK_CP_METRICS_PORT": "0",
            "AIRLOCK_CP_LOG_LEVEL": "WARNING",
            "AIRLOCK_DEMO_TENANT_REGISTER": "true",
            **(environment or {}),
        }
        self.write_config(config or {})

    def write_config(self, sections):
        lines = ["server:", f"  cp_private_key_path: {self.state}/cp_ed25519.pem", f"  audit_log_path: {self.audit}",
                 f"  run_dir: {self.run_dir}"]
        for section, keys in {"limits": LIMITS, **sections}.items():
            lines += [f"{section}:", *(f"  {key}: {value}" for key, value in keys.items())]
        with open(self.env["AIRLOCK_CP_CONFIG"], "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")

    def program(self, name):
        return self.bench.start(f"{self.name}-{name}", [os.path.join(self.bench.bin, f"airlock-{name}")], env=self.env)

    def start_tunneld(self):
        self.tunneld = self.program("tunneld")
        procs.wait_until(f"tunneld of {self.name}", lambda: os.path.exists(f"{self.run_dir}/dispatch.sock"))

    def start_app(self):
        self.app = self.program("fcgi-app")
        procs.wait_until(f"fcgi-app of {self.name}", lambda: os.path.exists(f"{self.run_dir}/fcgi.sock"))

    def up(self):
        self.start_tunneld()
        self.start_app()
        if not self.front.process:
            self.front.up()
        procs.wait_until(f"/health of {self.name}", lambda: answers(self.front.url + "/health"))
        return self

    def down(self):
        """Leaves the front. Seconds that each program took to end."""
        return {"fcgi-app": self.bench.programs.stop(self.app), "tunneld": self.bench.programs.stop(self.tunneld)}

    def end(self):
        if self.front.process:
            self.bench.programs.stop(self.front.process)
        self.down()

    def admin(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.front.url + path, data=data, method=method, headers={
            "Authorization": f"Bearer {self.token}", "Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as reply:
            return json.load(reply)

    def mint_key(self, name="bench"):
        """A new API key; returns the file that holds it."""
        path = os.path.join(self.state, f"{name}.key")
        with open(path, "w", encoding="ascii", opener=lambda file, flags: os.open(file, flags, 0o600)) as file:
            file.write(self.admin("POST", f"/v1/admin/tenants/t_{TENANT}/keys", {"name": name})["key"] + "\n")
        return path

    def enroll(self, name, description=None):
        """Enrolls a worker with the product's own program; returns its directory."""
        path = os.path.join(self.bench.disk, f"{self.name}-{name}")
        os.makedirs(path, mode=0o700)
        tables = description or "root_table: t\ntables: [{name: t}]\n"
        with open(os.path.join(path, "airlock.yaml"), "w", encoding="utf-8") as file:
            file.write(f"{tables}\nworker:\n  name: {name}\n  state_dir: {path}/state\n  data_dir: {self.bench.ram}/{self.name}-{name}\n")
        token = self.admin("POST", f"/v1/admin/tenants/t_{TENANT}/enrollments", {"name": name})["token"]
        subprocess.run(
            [os.path.join(self.bench.bin, "airlock-worker"), "enroll", "--quiet", "--url", self.front.url,
             "--config", os.path.join(path, "airlock.yaml")],
            env={"PATH": os.environ["PATH"], "AIRLOCK_ENROLLMENT_TOKEN": token}, check=True, stdout=subprocess.DEVNULL)
        return path

    def sessions(self):
        workers = self.admin("GET", f"/v1/admin/tenants/t_{TENANT}/workers")["workers"]
        return sum(worker["sessions"] for worker in workers)

    def echo(self):
        """A worker that answers at once, connected."""
        path = self.enroll("echo")
        before = self.sessions()
        worker = self.bench.start(f"{self.name}-echo", [os.path.join(self.bench.tools, "echo_worker"), os.path.join(path, "state")])
        procs.wait_until(f"the worker of {self.name}", lambda: self.sessions() > before)
        return worker

    def roles(self, worker):
        return {"front": [self.front.process], "fcgi-app": [self.app], "tunneld": [self.tunneld], "worker": [worker]}

    def target(self, name, worker, key_file, **arguments):
        return load.Target(name, f"{self.front.url}/mcp/{TENANT}", self.roles(worker), key_file, load.call_body(**arguments))


def hello(bench):
    """(a) The ceiling: the least that a FastCGI program can do behind the same nginx."""
    run_dir = bench.socket_dir("hello")
    program = bench.start("hello", [os.path.join(bench.tools, "hello"), f"{run_dir}/fcgi.sock", HELLO_THREADS])
    front = Front(bench, "hello", run_dir)
    front.up()
    procs.wait_until("the hello ceiling", lambda: answers(front.url + "/health"))
    return front, program


def hello_target(front, program, key_file, size=None):
    query = "" if size is None else f"?bytes={size}"
    return load.Target("hello", f"{front.url}/mcp/{TENANT}{query}", {"front": [front.process], "app": [program]}, key_file)


def static_target(front):
    """(b) A small file, straight from the same nginx."""
    return load.Target("static", f"{front.url}/icon.svg", {"front": [front.process]}, method="GET")


def starlette_front(text):
    """The product's nginx configuration, with HTTP to an upstream where it has FastCGI: nothing else differs."""
    text = text.replace("fastcgi_pass airlock_app;", 'proxy_pass http://airlock_app; proxy_http_version 1.1; proxy_set_header Connection "";')
    return text.replace("/fcgi.sock", "/http.sock").replace("/tunnel.sock", "/http.sock")


def starlette(bench, plane):
    """(c) The original's shape: its own identity is the control plane's; its worker was enrolled there."""
    run_dir = bench.socket_dir("starlette")
    front = Front(bench, "starlette", run_dir, starlette_front)
    path = plane.enroll("starlette")
    state = os.path.join(path, "state")
    with open(os.path.join(state, "enrollment.json"), encoding="utf-8") as file:
        enrolled = json.load(file)
    with open(os.path.join(state, "enrollment.json"), "w", encoding="utf-8") as file:
        json.dump({**enrolled, "tunnel_url": f"ws://localhost:{front.port}/v1/tunnel"}, file)
    key_file = os.path.join(plane.state, "bench.key")
    server = bench.start("starlette", ["/usr/bin/python3", "-m", "uvicorn", "starlette_cp:app", "--uds", f"{run_dir}/http.sock",
        "--loop", "uvloop", "--http", "httptools", "--ws", "websockets", "--no-access-log", "--log-level", "warning",
        "--ws-max-size", str(32 << 20), "--app-dir", os.path.join(REPO, "tests", "bench")], env={
            "PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1", "BENCH_KEY_FILE": key_file,
            "BENCH_AUDIT": os.path.join(plane.state, "starlette-audit.jsonl"), "BENCH_CP_KEY": os.path.join(plane.state, "cp_ed25519.pem"),
            "BENCH_WORKER_KEY": enrolled["public_key"]})
    front.up()
    worker = bench.start("starlette-echo", [os.path.join(bench.tools, "echo_worker"), state])
    procs.wait_until("the Starlette shape", lambda: answers(front.url + "/health"))
    return load.Target("starlette", f"{front.url}/mcp/{TENANT}", {"front": [front.process], "server": [server], "worker": [worker]}, key_file)


def sdk(bench, plane):
    """(d) The official SDK's server, answering over HTTP itself: no front, no tunnel, no key, no audit."""
    node = os.path.join(REPO, "tests", "node_modules", ".bin", "node")
    port = free_port()
    server = bench.start("sdk", [node, os.path.join(REPO, "tests", "bench", "sdk_server.mjs"), port], env={"PATH": os.environ["PATH"], "NODE_ENV": "production"})
    procs.wait_until("the SDK's server", lambda: answers(f"http://127.0.0.1:{port}/health"))
    return load.Target("sdk", f"http://127.0.0.1:{port}/mcp", {"server": [server]}, os.path.join(plane.state, "bench.key"))
