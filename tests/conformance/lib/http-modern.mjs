// 2026-07-28 over HTTP: every POST stands alone. Checks the headers against the body, then hands the request on.
import { Shared } from "./child.mjs";
import { CODE, invalid, isObject, META, MODERN, RpcError } from "./rpc.mjs";

const KEEPALIVE_MS = 15_000;
const STATUS = new Map([
  [CODE.method, 404],
  [CODE.header, 400],
  [CODE.capability, 400],
  [CODE.version, 400],
]);
const NAME_OF = {
  "tools/call": "name",
  "prompts/get": "name",
  "resources/read": "uri",
  "tasks/get": "taskId",
  "tasks/update": "taskId",
  "tasks/cancel": "taskId",
};

const mismatch = (message) => new RpcError(CODE.header, `Header mismatch: ${message}`);

// =?base64?...?= is decoded, and strictly: Buffer would skip over what is not in the alphabet.
function decoded(name, value) {
  const encoded = /^=\?base64\?(.*)\?=$/.exec(value)?.[1];
  if (encoded === undefined) return value;
  const bytes = Buffer.from(encoded, "base64");
  if (bytes.toString("base64") !== encoded) throw mismatch(`${name} is not valid Base64`);
  return bytes.toString();
}

function checkHeader(headers, name, wanted) {
  const value = headers[name.toLowerCase()];
  if (value === undefined) throw mismatch(`${name} is missing`);
  const given = name.startsWith("Mcp-Param-") || name === "Mcp-Name" ? decoded(name, value) : value;
  const same = typeof wanted === "number" ? Number(given) === wanted : given === String(wanted);
  if (!same) throw mismatch(`${name} does not match the body`);
}

// Which headers a tool's arguments are mirrored into: [header name, path into the arguments].
function mirrored(schema, path = []) {
  return Object.entries(schema.properties ?? {}).flatMap(([name, property]) => {
    const header = property["x-mcp-header"];
    const here = [...path, name];
    return [...(typeof header === "string" ? [[`Mcp-Param-${header}`, here]] : []), ...mirrored(property, here)];
  });
}

export class Modern {
  #shared;
  #tools = new Map();

  constructor(onExit) {
    this.#shared = new Shared(onExit);
  }

  // The tools with mirrored arguments do not change while the fixture runs.
  async start() {
    const params = { _meta: { [META.version]: MODERN, [META.capabilities]: {} } };
    const { result } = await new Promise((resolve) => {
      this.#shared.request({ jsonrpc: "2.0", id: 0, method: "tools/list", params }, resolve);
    });
    for (const tool of result.tools) this.#tools.set(tool.name, mirrored(tool.inputSchema));
  }

  stop() {
    this.#shared.child.end();
  }

  #check(headers, { method, params = {} }) {
    const version = params._meta?.[META.version];
    if (typeof version !== "string") throw invalid(`_meta lacks ${META.version}`);
    checkHeader(headers, "MCP-Protocol-Version", version);
    checkHeader(headers, "Mcp-Method", method);
    if (version !== MODERN) return; // the fixture refuses it
    if (!isObject(params._meta[META.capabilities])) throw invalid(`_meta lacks ${META.capabilities}`);
    if (method in NAME_OF && typeof params[NAME_OF[method]] === "string") {
      checkHeader(headers, "Mcp-Name", params[NAME_OF[method]]);
    }
    for (const [header, path] of (method === "tools/call" && this.#tools.get(params.name)) || []) {
      const value = path.reduce((object, name) => object?.[name], params.arguments);
      if (value !== undefined && value !== null) checkHeader(headers, header, value);
    }
  }

  post(request, response, message) {
    if (message.method === undefined) return response.writeHead(400).end();
    if (!("id" in message)) return response.writeHead(202).end();
    try {
      this.#check(request.headers, message);
    } catch (error) {
      return json(response, 400, { jsonrpc: "2.0", id: message.id, error: error.body() });
    }
    // The status is not known before the first message: a refusal has its own, a stream is 200.
    const cancel = this.#shared.request(message, (answer, final) => {
      if (final && !response.headersSent) return json(response, STATUS.get(answer.error?.code) ?? 200, answer);
      if (!response.headersSent) startStream(response);
      response.write(`event: message\ndata: ${JSON.stringify(answer)}\n\n`);
      if (final) response.end();
    });
    response.on("close", cancel);
  }
}

export function json(response, status, body, headers = {}) {
  response.writeHead(status, { "Content-Type": "application/json", ...headers }).end(JSON.stringify(body));
}

export function startStream(response, headers = {}) {
  response.writeHead(200, {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-cache",
    "X-Accel-Buffering": "no",
    ...headers,
  });
  const keepalive = setInterval(() => response.write(":\n\n"), KEEPALIVE_MS);
  response.on("close", () => clearInterval(keepalive));
}
