// An MCP server over stdio that the conformance suite is run against, written without an SDK. It speaks 2026-07-28
// (every request carries its metadata) and the revisions with an initialize handshake, both at the same time:
// a request that names a revision in _meta is served under 2026-07-28, any other belongs to the handshake.
// usage: fixture.mjs [legacy], one JSON-RPC message per line on stdin and stdout; ends with stdin. "legacy": it knows
// nothing of 2026-07-28.
import { rounds, supports } from "./lib/input.mjs";
import { complete, getPrompt, listPrompts, readResource, RESOURCES, TEMPLATES, WATCHED } from "./lib/content.mjs";
import { checkArguments, findTool, listTools } from "./lib/tools.mjs";
import { Tasks } from "./lib/tasks.mjs";
import * as rpc from "./lib/rpc.mjs";
import { CODE, invalid, isObject, LEGACY, META, MODERN, RpcError, ToolFailure } from "./lib/rpc.mjs";

const LEGACY_ONLY = process.argv[2] === "legacy";
const LINE_MAX = 16 * 1024 * 1024;
const LIST_TTL_MS = 60_000;
const SERVER_INFO = { name: "airlock-conformance-fixture", version: "1.0.0" };
const INSTRUCTIONS = "A fixture: every tool, resource and prompt is there to be tested.";
const LEVELS = ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"];
const CAPABILITIES = {
  tools: { listChanged: true },
  prompts: { listChanged: true },
  resources: { subscribe: true, listChanged: true },
  completions: {},
  logging: {},
};

const send = (message) => process.stdout.write(`${JSON.stringify({ jsonrpc: "2.0", ...message })}\n`);
const notify = (method, params) => send({ method, ...(params === undefined ? {} : { params }) });

const running = new Map(); // id of a request being served -> AbortController
const listening = new Map(); // id of a subscriptions/listen request -> the filter it was granted
const asked = new Map(); // id of a request of ours to a legacy client -> { resolve, reject }
const watchers = new Set(); // URIs that the legacy client subscribed to
const dynamic = { tools: false, prompts: false };
let watchedVersion = 1;
let legacy; // what initialize agreed on, once it has: { version, capabilities, logLevel }
let lastAsked = 0;

const tasks = new Tasks((task) => {
  publish("notifications/tasks", task.view(), ({ taskIds }) => taskIds?.includes(task.id));
});

// To every open subscription that wants it, each time with the id of that subscription.
function publish(method, params, wanted) {
  for (const [id, filter] of listening) {
    if (wanted(filter)) notify(method, { ...params, _meta: { [META.subscription]: id } });
  }
}

function toggle(kind) {
  dynamic[kind] = !dynamic[kind];
  publish(`notifications/${kind}/list_changed`, {}, (filter) => filter[`${kind}ListChanged`]);
  if (legacy) notify(`notifications/${kind}/list_changed`);
  return dynamic[kind];
}

function touchWatched() {
  watchedVersion++;
  const update = ["notifications/resources/updated", { uri: WATCHED }];
  publish(...update, ({ resourceSubscriptions }) => resourceSubscriptions?.includes(WATCHED));
  if (watchers.has(WATCHED)) notify(...update);
  return watchedVersion;
}

// What a tool or prompt may do while it runs, in either era.
function makeCall({ capabilities, logLevel, params, signal, ask }) {
  const token = params._meta?.progressToken;
  const threshold = LEVELS.indexOf(logLevel);
  return {
    ask,
    capabilities,
    signal,
    toggle,
    touchWatched,
    progress(progress, total) {
      if (token === undefined || signal.aborted) return;
      notify("notifications/progress", { progressToken: token, progress, total });
    },
    log(level, data) {
      if (threshold < 0 || LEVELS.indexOf(level) < threshold || signal.aborted) return;
      notify("notifications/message", { level, logger: SERVER_INFO.name, data });
    },
    require(wanted) {
      if (Object.keys(wanted).some((name) => !isObject(capabilities[name]))) throw rpc.missingCapability(wanted);
    },
  };
}

async function runTool(tool, call, args, before) {
  try {
    checkArguments(tool.inputSchema, args);
    return await tool.run(call, args, before ?? (await tool.before?.(call, args)));
  } catch (error) {
    if (!(error instanceof ToolFailure)) throw error;
    return { content: [{ type: "text", text: error.message }], isError: true };
  }
}

function toolOf(params) {
  if (typeof params.name !== "string") throw invalid("params.name must be a string");
  const tool = findTool(params.name, dynamic.tools);
  if (tool === undefined) throw invalid(`Unknown tool: ${params.name}`);
  const args = params.arguments ?? {};
  if (!isObject(args)) throw invalid("params.arguments must be an object");
  return [tool, args];
}

const noCursor = ({ cursor }) => {
  if (cursor !== undefined) throw invalid("Unknown cursor");
};
const uriOf = ({ uri }) => {
  if (typeof uri !== "string") throw invalid("params.uri must be a string");
  return uri;
};

// Results that are the same in both eras; 2026-07-28 adds its own fields to them.
const SHARED = {
  "tools/list": (params) => (noCursor(params), { tools: listTools(dynamic.tools) }),
  "prompts/list": (params) => (noCursor(params), { prompts: listPrompts(dynamic.prompts) }),
  "resources/list": (params) => (noCursor(params), { resources: RESOURCES }),
  "resources/templates/list": (params) => (noCursor(params), { resourceTemplates: TEMPLATES }),
  "resources/read": (params, { era }) => ({ contents: [readResource(uriOf(params), era, watchedVersion)] }),
  "completion/complete": complete,
};

// ---- 2026-07-28 ----

const complete2026 = (result) => ({ resultType: "complete", ...result });
const cached = (result, ttlMs = LIST_TTL_MS) => complete2026({ ...result, ttlMs, cacheScope: "public" });

const hasTasks = ({ capabilities }) => isObject(capabilities.extensions?.[rpc.TASKS]);
function needTasks(request) {
  if (!hasTasks(request)) throw rpc.missingCapability({ extensions: { [rpc.TASKS]: {} } });
}

function startTask(tool, request, args, before) {
  const task = tasks.create(request.capabilities, async (self) => {
    const call = makeCall({
      capabilities: request.capabilities,
      // Tasks have neither progress nor log messages.
      params: {},
      signal: self.abort.signal,
      ask: (requests) => self.ask(requests),
    });
    return complete2026(await runTool(tool, call, args, before));
  });
  return { resultType: "task", ...task.head() };
}

function callTool(params, request) {
  const [tool, args] = toolOf(params);
  if (tool.task === "required") needTasks(request);
  return rounds("tools/call", params, request.capabilities, async (ask) => {
    const call = makeCall({ ...request, params, ask });
    if (!tool.task || !hasTasks(request)) return complete2026(await runTool(tool, call, args));
    return startTask(tool, request, args, await tool.before?.(call, args));
  });
}

function listen(params, request) {
  const wanted = params.notifications;
  if (!isObject(wanted)) throw invalid("params.notifications must be an object");
  if (wanted.taskIds !== undefined) needTasks(request);
  const flags = ["toolsListChanged", "promptsListChanged", "resourcesListChanged"];
  const granted = Object.fromEntries(flags.filter((name) => wanted[name] === true).map((name) => [name, true]));
  if (Array.isArray(wanted.resourceSubscriptions)) {
    granted.resourceSubscriptions = wanted.resourceSubscriptions.filter((uri) => typeof uri === "string");
  }
  if (Array.isArray(wanted.taskIds)) granted.taskIds = wanted.taskIds.filter((id) => tasks.has(id));
  notify("notifications/subscriptions/acknowledged", {
    _meta: { [META.subscription]: request.id },
    notifications: granted,
  });
  listening.set(request.id, granted);
  // The request ends when the client cancels it, and then there is no answer.
  return new Promise((_, reject) => {
    request.signal.addEventListener("abort", () => {
      listening.delete(request.id);
      reject(request.signal.reason);
    });
  });
}

const MODERN_METHODS = {
  "server/discover": () =>
    cached({
      supportedVersions: [MODERN],
      capabilities: { ...CAPABILITIES, extensions: { [rpc.TASKS]: {} } },
      instructions: INSTRUCTIONS,
    }),
  "tools/call": callTool,
  "prompts/get": (params, request) =>
    rounds("prompts/get", params, request.capabilities, async (ask) =>
      complete2026(await getPrompt(makeCall({ ...request, params, ask }), params, dynamic.prompts)),
    ),
  "tools/list": (...all) => cached(SHARED["tools/list"](...all)),
  "prompts/list": (...all) => cached(SHARED["prompts/list"](...all)),
  "resources/list": (...all) => cached(SHARED["resources/list"](...all)),
  "resources/templates/list": (...all) => cached(SHARED["resources/templates/list"](...all)),
  "resources/read": (...all) => cached(SHARED["resources/read"](...all), 0),
  "completion/complete": (...all) => complete2026(SHARED["completion/complete"](...all)),
  "subscriptions/listen": listen,
  "tasks/get": (params, request) => (needTasks(request), complete2026(tasks.get(params).view())),
  "tasks/update": (params, request) => (needTasks(request), tasks.update(params), complete2026()),
  "tasks/cancel": (params, request) => (needTasks(request), tasks.get(params).cancel(), complete2026()),
};

async function serveModern(method, params, request) {
  const version = params._meta[META.version];
  const capabilities = params._meta[META.capabilities];
  if (version !== MODERN) {
    throw new RpcError(CODE.version, "Unsupported protocol version", { supported: [MODERN], requested: version });
  }
  if (!isObject(capabilities)) throw invalid(`_meta lacks ${META.capabilities}`);
  if (!Object.hasOwn(MODERN_METHODS, method)) throw new RpcError(CODE.method, `Method not found: ${method}`);
  const logLevel = params._meta[META.logLevel];
  const result = await MODERN_METHODS[method](params, { ...request, era: MODERN, capabilities, logLevel });
  return { ...result, _meta: { [META.serverInfo]: SERVER_INFO, ...result._meta } };
}

// ---- Revisions with a handshake ----

// The client is asked in a request of its own; its answer comes back as a response on stdin.
async function askLegacy(requests, signal) {
  const answers = Object.entries(requests).map(async ([name, { method, params }]) => {
    if (!supports(legacy.capabilities, method)) throw new ToolFailure(`The client does not support ${method}`);
    const id = `fixture-${++lastAsked}`;
    const answer = new Promise((resolve, reject) => {
      asked.set(id, { resolve, reject });
      signal.addEventListener("abort", () => reject(signal.reason), { once: true });
    });
    send({ id, method, params });
    return [name, await answer.finally(() => asked.delete(id))];
  });
  return Object.fromEntries(await Promise.all(answers));
}

function callLegacy(params, { signal }) {
  const { capabilities, logLevel } = legacy;
  return makeCall({ capabilities, logLevel, params, signal, ask: (requests) => askLegacy(requests, signal) });
}

const LEGACY_METHODS = {
  ...SHARED,
  initialize(params) {
    if (typeof params.protocolVersion !== "string" || !isObject(params.capabilities)) throw invalid("Bad initialize");
    const version = LEGACY.includes(params.protocolVersion) ? params.protocolVersion : LEGACY[0];
    legacy = { version, capabilities: params.capabilities, logLevel: "info" };
    return {
      protocolVersion: version,
      capabilities: CAPABILITIES,
      serverInfo: SERVER_INFO,
      instructions: INSTRUCTIONS,
    };
  },
  ping: () => ({}),
  "logging/setLevel"({ level }) {
    if (!LEVELS.includes(level)) throw invalid("Unknown log level");
    legacy.logLevel = level;
    return {};
  },
  "resources/subscribe": (params) => (watchers.add(uriOf(params)), {}),
  "resources/unsubscribe": (params) => (watchers.delete(uriOf(params)), {}),
  "tools/call"(params, request) {
    const [tool, args] = toolOf(params);
    return runTool(tool, callLegacy(params, request), args);
  },
  async "prompts/get"(params, request) {
    try {
      return await getPrompt(callLegacy(params, request), params, dynamic.prompts);
    } catch (error) {
      throw error instanceof ToolFailure ? invalid(error.message) : error;
    }
  },
};

async function serveLegacy(method, params, request) {
  if (!legacy && method !== "initialize" && method !== "ping") {
    const supported = [MODERN, ...LEGACY];
    throw invalid(`The request has no ${META.version} in _meta, and there was no initialize`, { supported });
  }
  if (!Object.hasOwn(LEGACY_METHODS, method)) throw new RpcError(CODE.method, `Method not found: ${method}`);
  return LEGACY_METHODS[method](params, { ...request, era: legacy?.version });
}

// ---- JSON-RPC ----

async function serve({ id, method, params = {} }) {
  const abort = new AbortController();
  let reply;
  try {
    if (running.has(id)) throw new RpcError(CODE.request, "A request with this id is being served");
    running.set(id, abort);
    if (!isObject(params)) throw invalid("params must be an object");
    const modern = !LEGACY_ONLY && isObject(params._meta) && META.version in params._meta;
    reply = { result: await (modern ? serveModern : serveLegacy)(method, params, { id, signal: abort.signal }) };
  } catch (error) {
    reply = { error: rpc.asRpcError(error).body() };
  }
  if (running.get(id) === abort) running.delete(id);
  if (!abort.signal.aborted) send({ id, ...reply });
}

function receiveNotification({ method, params }) {
  // A subscription of 2026-07-28 and a request of either era are cancelled in the same way.
  if (method === "notifications/cancelled") running.get(params?.requestId)?.abort(new Error("cancelled"));
}

function receiveAnswer({ id, result, error }) {
  if (error === undefined) asked.get(id)?.resolve(result);
  else asked.get(id)?.reject(new ToolFailure(`The client refused: ${error.message}`));
}

function receive(line) {
  let message;
  try {
    message = JSON.parse(line);
  } catch {
    send({ id: null, error: { code: CODE.parse, message: "Parse error" } });
    return;
  }
  const idOk = typeof message?.id === "string" || Number.isInteger(message?.id);
  if (!isObject(message) || message.jsonrpc !== "2.0" || ("id" in message && !idOk)) {
    send({ id: null, error: { code: CODE.request, message: "Not a JSON-RPC message" } });
  } else if (typeof message.method === "string") {
    if ("id" in message) serve(message);
    else receiveNotification(message);
  } else if ("id" in message && ("result" in message || "error" in message)) {
    receiveAnswer(message);
  } else {
    send({ id: null, error: { code: CODE.request, message: "Not a JSON-RPC message" } });
  }
}

let waiting = "";
process.stdin.setEncoding("utf8");
process.stdin.on("data", (chunk) => {
  const lines = (waiting + chunk).split("\n");
  waiting = lines.pop();
  if (waiting.length > LINE_MAX) {
    process.stderr.write("a message is too long\n");
    process.exit(1);
  }
  for (const line of lines) if (line.trim() !== "") receive(line);
});
process.stdin.on("end", () => process.exit(0));
process.stdout.on("error", () => process.exit(0));
