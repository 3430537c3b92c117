// Puts the stdio fixture behind Streamable HTTP in both eras, to show that the fixture is right by itself: what
// fails behind Airlock and passes here is Airlock's fault. Serves /mcp on 127.0.0.1, without authentication.
// usage: http-front.mjs [legacy]; "legacy": without 2026-07-28. Prints the URL when ready, ends with SIGTERM or SIGINT.
import { createServer } from "node:http";
import { Legacy } from "./lib/http-legacy.mjs";
import { json, Modern } from "./lib/http-modern.mjs";
import { CODE, isObject, LEGACY, META } from "./lib/rpc.mjs";

const BODY_MAX = 4 * 1024 * 1024;
const LOCAL = /^(localhost|127\.0\.0\.1|\[::1\])(:\d+)?$/;

const legacy = new Legacy();
const modern = process.argv[2] === "legacy" ? undefined : new Modern(() => stop(1));
await modern?.start();

function refuse(response, status, code, message, headers) {
  json(response, status, { jsonrpc: "2.0", id: null, error: { code, message } }, headers);
}

// A page elsewhere that made its name resolve to this machine is told from a local client by these two.
function isLocal({ headers }) {
  const { host = "", origin } = headers;
  return LOCAL.test(host) && (origin === undefined || LOCAL.test(origin.replace(/^https?:\/\//, "")));
}

async function readBody(request) {
  const chunks = [];
  let length = 0;
  for await (const chunk of request) {
    length += chunk.length;
    if (length > BODY_MAX) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

// The era follows from what the request says of itself, never from its method.
function isModern({ headers }, message) {
  const version = headers["mcp-protocol-version"];
  const named = message.params?._meta?.[META.version] !== undefined;
  return modern !== undefined && (named || (version !== undefined && !LEGACY.includes(version)));
}

async function post(request, response) {
  if (!/^application\/json\s*(;|$)/i.test(request.headers["content-type"] ?? "")) {
    return refuse(response, 415, CODE.request, "Content-Type must be application/json");
  }
  const accept = request.headers.accept ?? "";
  if (!accept.includes("application/json") || !accept.includes("text/event-stream")) {
    return refuse(response, 406, CODE.request, "Accept must list application/json and text/event-stream");
  }
  const body = await readBody(request);
  if (body === undefined) return refuse(response, 413, CODE.request, "Body too large");
  let message;
  try {
    message = JSON.parse(body);
  } catch {
    return refuse(response, 400, CODE.parse, "Parse error");
  }
  const idOk = !("id" in Object(message)) || typeof message.id === "string" || Number.isInteger(message.id);
  if (!isObject(message) || message.jsonrpc !== "2.0" || !idOk) {
    return refuse(response, 400, CODE.request, "The body must be one JSON-RPC message");
  }
  return (isModern(request, message) ? modern : legacy).post(request, response, message);
}

async function handle(request, response) {
  if (!isLocal(request)) return refuse(response, 403, CODE.request, "Host or Origin not allowed");
  if (new URL(request.url, "http://localhost").pathname !== "/mcp") return response.writeHead(404).end();
  if (request.method === "POST") return post(request, response);
  const named = LEGACY.includes(request.headers["mcp-protocol-version"]) || request.headers["mcp-session-id"];
  if (request.method === "GET" && named) return legacy.get(request, response);
  if (request.method === "DELETE" && named) return legacy.delete(request, response);
  return refuse(response, 405, CODE.request, "Method not allowed", { Allow: "POST" });
}

const server = createServer((request, response) => {
  handle(request, response).catch((error) => {
    process.stderr.write(`${error.stack}\n`);
    response.destroy();
  });
});

function stop(status) {
  legacy.stop();
  modern?.stop();
  server.close();
  server.closeAllConnections();
  process.exitCode = status;
}

process.on("SIGTERM", () => stop(0));
process.on("SIGINT", () => stop(0));
server.listen(0, "127.0.0.1", () => {
  process.stdout.write(`http://127.0.0.1:${server.address().port}/mcp\n`);
});
