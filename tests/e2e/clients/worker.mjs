// A worker written from docs/tunnel-protocol.md alone: enrolls, shakes hands, and can break the rules on request.
// usage: worker.mjs URL TENANT_ID IDENTITY.json [fault]
//   IDENTITY.json is made on first use with the enrollment token in AIRLOCK_ENROLLMENT_TOKEN.
// Prints one JSON line per message from the control plane, and {"closed":code}. Stays connected until stdin ends.
import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, randomBytes, sign, verify } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";

const [url, tenantId, identityPath, fault = "none"] = process.argv.slice(2);
const LABEL = "airlock.tunnel.v1";
const raw = (key) => Buffer.from(key.export({ format: "jwk" }).x, "base64url");
const publicKey = (bytes) => createPublicKey({ format: "jwk", key: { kty: "OKP", crv: "Ed25519", x: bytes.toString("base64url") } });

function transcript(label, ...fields) {
  const parts = [Buffer.from(`${LABEL} ${label}\0`)];
  for (const field of fields) {
    const bytes = Buffer.isBuffer(field) ? field : Buffer.from(String(field));
    const length = Buffer.alloc(4);
    length.writeUInt32BE(bytes.length);
    parts.push(length, bytes);
  }
  return Buffer.concat(parts);
}

async function identity() {
  if (existsSync(identityPath)) return JSON.parse(readFileSync(identityPath, "utf8"));
  const pair = generateKeyPairSync("ed25519");
  const answer = await fetch(`${url}/v1/enroll`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ token: process.env.AIRLOCK_ENROLLMENT_TOKEN, public_key: raw(pair.publicKey).toString("base64"), name: "js" }),
  });
  if (answer.status !== 201) throw new Error(`enroll: ${answer.status} ${await answer.text()}`);
  const made = { ...(await answer.json()), private_key: pair.privateKey.export({ format: "pem", type: "pkcs8" }) };
  writeFileSync(identityPath, JSON.stringify(made), { mode: 0o600 });
  return made;
}

const me = await identity();
if (fault === "enroll-only") process.exit(0);
const key = fault === "other-key" ? generateKeyPairSync("ed25519").privateKey : createPrivateKey(me.private_key);
const target = new URL(me.tunnel_url);
const socket = new WebSocket(target, fault === "no-subprotocol" ? [] : [LABEL]);
socket.binaryType = "arraybuffer";

const print = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);
const send = (header, payload = "") => socket.send(Buffer.concat([Buffer.from(`${JSON.stringify(header)}\n`), Buffer.from(payload)]));
const manifests = {
  "bad-manifest": "[]",
  "database-url": JSON.stringify({ serverInfo: { name: "js", version: "1" }, capabilities: { tools: {} }, tools: [], note: "postgres://u:p@db/x" }),
};
const manifest = manifests[fault] ?? JSON.stringify({
  serverInfo: { name: "js", version: "1" },
  capabilities: { tools: {} },
  tools: [{ name: "echo", description: "Says it again", inputSchema: { type: "object" } }],
});

function hello(challenge) {
  const bytes = (name) => Buffer.from(challenge[name], "base64");
  const signed = transcript("challenge", bytes("nonce"), bytes("cp_key"), bytes("eph"), ...challenge.versions);
  if (challenge.cp_key !== me.cp_public_key) throw new Error("an impostor: not the control plane's key");
  if (!verify(null, signed, publicKey(bytes("cp_key")), bytes("sig"))) throw new Error("the challenge's signature is wrong");
  const nonce = randomBytes(32);
  const eph = raw(generateKeyPairSync("x25519").publicKey);
  const ts = Date.now() - (fault === "old-clock" ? 3600e3 : 0);
  const version = fault === "version" ? "99" : "1";
  const workerId = fault === "unknown-worker" ? "w_aaaaaaaaaaaaaaaa" : me.worker_id;
  const echo = fault === "echo" ? randomBytes(32) : bytes("nonce");
  const digest = createHash("sha256").update(manifest).digest();
  const signature = sign(null, transcript("hello", bytes("nonce"), bytes("cp_key"), bytes("eph"), version, workerId, tenantId, "js/1", nonce, eph, ts, digest), key);
  send({ t: "HELLO", version, worker_id: workerId, tenant_id: tenantId, agent: "js/1", nonce: nonce.toString("base64"),
    echo: echo.toString("base64"), eph: eph.toString("base64"), ts, sig: signature.toString("base64") }, manifest);
}

socket.onmessage = ({ data }) => {
  const bytes = Buffer.from(data);
  const end = bytes.indexOf(10);
  const header = JSON.parse(bytes.subarray(0, end).toString());
  print({ t: header.t, reason: header.reason, retry: header.retry, method: header.method, tool: header.tool });
  if (header.t === "CHALLENGE" && fault === "garbage") socket.send(randomBytes(200));
  else if (header.t === "CHALLENGE" && fault === "silent") return;
  else if (header.t === "CHALLENGE") hello(header);
  else if (header.t === "CALL") {
    const request = JSON.parse(bytes.subarray(end + 1).toString());
    if (fault === "mute") return;
    if (fault === "garbage-result") return socket.send("not a message");
    if (fault === "unknown-types") send({ t: "FUTURE_THING", id: header.id, x: 1 });
    send({ t: "RESULT", id: header.id, outcome: "ok" }, JSON.stringify({ jsonrpc: "2.0", id: request.id,
      result: { content: [{ type: "text", text: JSON.stringify(request.params.arguments) }] } }));
  }
};
socket.onclose = ({ code }) => { print({ closed: code }); process.exit(0); };
socket.onerror = () => print({ error: "connection" });
process.stdin.on("end", () => socket.close()).resume();
