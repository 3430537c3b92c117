// A small MCP server of the revisions before 2026-07-28, over stdio, that behaves badly on request. With the argument "tools"
// it has tools alone.
//   whoami  its pid and environment      ask   asks the client for a colour and returns the answer
//   die     ends without an answer       hang  never answers, nor anything else from then on
//   chatter as many MiB of notifications as it is told, then its pid         garbage  2000 lines that are no JSON, then nothing
//   huge    a result of 20 MiB                             flood    notifications without end, until it is cancelled
//   linger  never answers               cancelled  how many calls were cancelled here
//   withdraw  asks, takes the question back and returns
//   wait    answers when there is the file that it was given
//   touch   says that its resource was updated            grow     has one tool more and says so
import { existsSync } from "node:fs";

const send = (message) => process.stdout.write(`${JSON.stringify({ jsonrpc: "2.0", ...message })}\n`);
const text = (value) => ({ content: [{ type: "text", text: JSON.stringify(value) }] });
const tool = (name) => ({ name, description: name, inputSchema: { type: "object" } });
const asked = new Map();
let deaf = false;
const lingering = new Set();
let cancelled = 0;

const TOOLS = {
  whoami: () => text({ pid: process.pid, env: process.env }),
  die: () => process.exit(3),
  hang: () => {
    deaf = true;
    return new Promise(() => {});
  },
  chatter: async (_, { mib }) => {
    const params = { level: "info", data: "x".repeat(64 * 1024) };
    for (let i = 0; i < mib * 16; i++) {
      send({ method: "notifications/message", params });
      if (process.stdout.writableNeedDrain) await new Promise((resolve) => process.stdout.once("drain", resolve));
    }
    return text({ pid: process.pid });
  },
  flood: async (id) => {
    const params = { level: "info", data: "x".repeat(64 * 1024) };
    lingering.add(id);
    while (lingering.has(id)) {
      send({ method: "notifications/message", params });
      await new Promise((resolve) => (process.stdout.writableNeedDrain ? process.stdout.once("drain", resolve) : setImmediate(resolve)));
    }
    return text("flooded");
  },
  garbage: () => {
    for (let i = 0; i < 2000; i++) process.stdout.write("this is no JSON\n");
    return new Promise(() => {});
  },
  wait: (_, { file }) =>
    new Promise((resolve) => {
      const look = setInterval(() => {
        if (!existsSync(file)) return;
        clearInterval(look);
        resolve(text("waited"));
      }, 20);
    }),
  touch: () => {
    send({ method: "notifications/resources/updated", params: { uri: "spy://one" } });
    return text("touched");
  },
  grow: () => {
    TOOLS.grown = () => text("grown");
    send({ method: "notifications/tools/list_changed" });
    return text("grown");
  },
  linger: (id) => {
    lingering.add(id);
    return new Promise(() => {});
  },
  cancelled: () => text(cancelled),
  withdraw: () => {
    send({ id: "q-2", method: "roots/list" });
    send({ method: "notifications/cancelled", params: { requestId: "q-2", reason: "not needed" } });
    return text("withdrawn");
  },
  huge: () => text("x".repeat(20 * 1024 * 1024)),
  ask: async () => {
    const params = { message: "Which?", requestedSchema: { type: "object", properties: { colour: { type: "string" } } } };
    const answer = new Promise((resolve) => asked.set("q-1", resolve));
    send({ id: "q-1", method: "elicitation/create", params });
    const { result, error } = await answer;
    return error ? { content: [{ type: "text", text: `refused: ${error.message}` }] } : text(result);
  },
};

const METHODS = {
  initialize: () => ({
    protocolVersion: "2025-11-25",
    capabilities: process.argv[2] === "tools" ? { tools: {} } : { tools: { listChanged: true }, resources: { subscribe: true }, logging: {} },
    serverInfo: { name: "legacy-server", version: "1" },
  }),
  ping: () => ({}),
  "logging/setLevel": () => ({}),
  "tools/list": () => ({ tools: Object.keys(TOOLS).map(tool) }),
  "tools/call": ({ name, arguments: given }, id) => TOOLS[name](id, given),
  "resources/list": () => ({ resources: [{ uri: "spy://one", name: "one" }] }),
  "resources/subscribe": () => ({}),
  "resources/unsubscribe": () => ({}),
  "resources/read": ({ uri }) => {
    if (uri !== "spy://one") throw { code: -32002, message: "Resource not found" };
    return { contents: [{ uri, text: "one" }] };
  },
};

async function receive({ id, method, params = {}, result, error }) {
  if (method === undefined) return asked.get(id)?.({ result, error });
  if (method === "notifications/cancelled" && lingering.delete(params.requestId)) cancelled++;
  if (id === undefined || deaf) return;
  try {
    if (METHODS[method] === undefined) throw { code: -32601, message: "Method not found" };
    send({ id, result: await METHODS[method](params, id) });
  } catch (error) {
    send({ id, error });
  }
}

let waiting = "";
process.stdin.setEncoding("utf8").on("data", (chunk) => {
  const lines = (waiting + chunk).split("\n");
  waiting = lines.pop();
  for (const line of lines) receive(JSON.parse(line));
});
process.stdin.on("end", () => process.exit(0));
