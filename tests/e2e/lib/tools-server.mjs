// A small MCP server over stdio (revisions before 2026-07-28) whose tools are what a file says: a JSON array of Tool
// objects. It says so when the file changes. Each tool answers with its name, the title of its definition, and the
// request's _meta.
//   tools-server.mjs FILE
import { readFileSync, watch } from "node:fs";
import { basename, dirname } from "node:path";

const file = process.argv[2];
const read = () => JSON.parse(readFileSync(file, "utf8"));
const send = (message) => process.stdout.write(`${JSON.stringify({ jsonrpc: "2.0", ...message })}\n`);
let known = readFileSync(file, "utf8");

watch(dirname(file), (_event, name) => {
  if (name !== basename(file) || readFileSync(file, "utf8") === known) return;
  known = readFileSync(file, "utf8");
  send({ method: "notifications/tools/list_changed" });
});

const METHODS = {
  initialize: () => ({
    protocolVersion: "2025-11-25",
    capabilities: { tools: { listChanged: true } },
    serverInfo: { name: "tools-server", version: "1" },
  }),
  ping: () => ({}),
  "logging/setLevel": () => ({}),
  "tools/list": () => ({ tools: read() }),
  "tools/call": ({ name, _meta }) => {
    const tool = read().find((t) => t.name === name);
    if (!tool) throw { code: -32602, message: "Unknown tool" };
    return { content: [{ type: "text", text: JSON.stringify({ name, title: tool.title, meta: _meta ?? null }) }] };
  },
};

function receive({ id, method, params = {} }) {
  if (id === undefined || method === undefined) return;
  try {
    if (METHODS[method] === undefined) throw { code: -32601, message: "Method not found" };
    send({ id, result: METHODS[method](params) });
  } catch (error) {
    send({ id, error: { code: error.code ?? -32603, message: error.message } });
  }
}

let waiting = "";
process.stdin.setEncoding("utf8").on("data", (chunk) => {
  const lines = (waiting + chunk).split("\n");
  waiting = lines.pop();
  for (const line of lines) receive(JSON.parse(line));
});
process.stdin.on("end", () => process.exit(0));
