"""The shape of the original: one Starlette/uvicorn process with the control plane's duties on the relay path.

Bearer key check, JSON-RPC parse, the same tunnel protocol to the same worker, one JSON audit line a call (written, not
synced). Written for the benchmark, to measure beside; it is no product.

Run under uvicorn. Environment: BENCH_KEY_FILE (the API key), BENCH_AUDIT (path), BENCH_WORKER_KEY (the worker's public key, base64),
BENCH_CP_KEY (path of the control plane's private key, PEM).
"""

import asyncio
import hashlib
import hmac
import json
import os
import secrets
import struct
import time
from base64 import b64decode, b64encode

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute

SUBPROTOCOL = "airlock.tunnel.v1"
LIMITS = {"heartbeat_ms": 15000, "max_message": 1056768, "part": 131072, "max_result": 16777216, "max_request": 4194304}
with open(os.environ["BENCH_KEY_FILE"], encoding="ascii") as key_file:
    KEY_DIGEST = hashlib.sha256(key_file.read().strip().encode()).digest()
WORKER_KEY = Ed25519PublicKey.from_public_bytes(b64decode(os.environ["BENCH_WORKER_KEY"]))
with open(os.environ["BENCH_CP_KEY"], "rb") as pem_file:
    IDENTITY = load_pem_private_key(pem_file.read(), None)
PUBLIC = IDENTITY.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
AUDIT = open(os.environ["BENCH_AUDIT"], "a", buffering=1, encoding="utf-8")


def transcript(label, *fields):
    out = [f"{SUBPROTOCOL} {label}".encode() + b"\0"]
    for field in fields:
        data = field if isinstance(field, bytes) else str(field).encode()
        out.append(struct.pack(">I", len(data)) + data)
    return b"".join(out)


def b64(data):
    return b64encode(data).decode()


class Tunnel:
    """One worker's session: sends calls, matches results to them."""

    def __init__(self, socket):
        self.socket = socket
        self.waiting = {}
        self.count = 0
        self.key = b""
        self.id = "s_" + secrets.token_hex(8)

    async def send(self, header, payload=b""):
        await self.socket.send_bytes(json.dumps(header, separators=(",", ":")).encode() + b"\n" + payload)

    async def receive(self):
        data = await self.socket.receive_bytes()
        end = data.index(b"\n")
        return json.loads(data[:end]), data[end + 1 :]

    async def handshake(self):
        nonce, ephemeral = os.urandom(32), X25519PrivateKey.generate()
        eph = ephemeral.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        signature = IDENTITY.sign(transcript("challenge", nonce, PUBLIC, eph, "1"))
        await self.send({"t": "CHALLENGE", "versions": ["1"], "nonce": b64(nonce), "cp_key": b64(PUBLIC), "eph": b64(eph), "sig": b64(signature)})
        hello, manifest = await self.receive()
        worker_nonce, worker_eph = b64decode(hello["nonce"]), b64decode(hello["eph"])
        signed = transcript(
            "hello", nonce, PUBLIC, eph, hello["version"], hello["worker_id"], hello["tenant_id"], hello["agent"],
            worker_nonce, worker_eph, hello["ts"], hashlib.sha256(manifest).digest())
        WORKER_KEY.verify(b64decode(hello["sig"]), signed)
        shared = ephemeral.exchange(X25519PublicKey.from_public_bytes(worker_eph))
        material = transcript("key", nonce, worker_nonce, self.id)
        self.key = hashlib.blake2b(material, digest_size=32, key=shared).digest()
        signature = IDENTITY.sign(transcript("ack", worker_nonce, nonce, self.id, hello["worker_id"], worker_eph, eph, *LIMITS.values()))
        await self.send({"t": "HELLO_ACK", "session_id": self.id, **LIMITS, "sig": b64(signature)})

    async def call(self, tool, request_id, payload):
        token = "c_" + secrets.token_urlsafe(16)
        self.count += 1
        head = json.dumps({"t": "CALL", "id": token, "method": "tools/call", "tool": tool, "timeout_ms": 60000, "request_id": request_id,
                           "key_id": "bench", "era": "legacy", "n": self.count}, separators=(",", ":"))[:-1].encode()
        mac = hashlib.blake2b(head + b"\n" + payload, digest_size=32, key=self.key).digest()[:16]
        future = asyncio.get_running_loop().create_future()
        self.waiting[token] = future
        await self.socket.send_bytes(head + b',"mac":"' + b64encode(mac) + b'"}\n' + payload)
        try:
            return await asyncio.wait_for(future, 60)
        finally:
            del self.waiting[token]

    async def serve(self):
        await self.handshake()
        parts = {}
        while True:
            header, payload = await self.receive()
            if header.get("t") != "RESULT":
                continue
            parts.setdefault(header["id"], []).append(payload)
            if header.get("more"):
                continue
            body = b"".join(parts.pop(header["id"]))
            future = self.waiting.get(header["id"])
            if future is not None and not future.done():
                future.set_result((header.get("outcome", "ok"), body))


TUNNELS = []


async def tunnel(socket):
    await socket.accept(subprotocol=SUBPROTOCOL)
    session = Tunnel(socket)
    TUNNELS.append(session)
    try:
        await session.serve()
    finally:
        TUNNELS.remove(session)


async def mcp(request):
    started = time.perf_counter()
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme != "Bearer" or not hmac.compare_digest(hashlib.sha256(token.encode()).digest(), KEY_DIGEST):
        return Response(status_code=401)
    body = await request.body()
    message = json.loads(body)
    if not TUNNELS:
        return Response(status_code=503)
    request_id = "req_" + secrets.token_hex(8)
    tool = message["params"]["name"]
    outcome, payload = await TUNNELS[0].call(tool, request_id, body)
    AUDIT.write(json.dumps({
        "ts": time.time(), "event": "tool.call", "tenant_id": "t_bench", "actor_kind": "agent", "key_id": "bench", "tool": tool, "outcome": outcome,
        "latency_ms": int((time.perf_counter() - started) * 1000), "request_id": request_id, "session_id": TUNNELS[0].id,
        "bytes_in": len(body), "bytes_out": len(payload)}) + "\n")
    return Response(payload, media_type="application/json", headers={"X-Request-Id": request_id})


async def health(_request):
    return Response("ok" if TUNNELS else "no worker", status_code=200 if TUNNELS else 503)


app = Starlette(routes=[
    Route("/health", health),
    Route("/mcp/{slug}", mcp, methods=["POST"]),
    WebSocketRoute("/v1/tunnel", tunnel),
])
