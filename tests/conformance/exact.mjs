// The suite takes much for an answer: any text passes tools-call-simple-text. This asserts the whole result of every tool,
// resource and prompt of the fixture, as a client gets it at the far end, in both eras, without an SDK.
// usage: exact.mjs legacy|modern URL [legacy]   ("legacy": the fixture is one of the older era, so a modern client reaches
// it across a bridge; a key, if one is needed, comes in AIRLOCK_API_KEY); prints how many were exact
import assert from "node:assert/strict";
import { Child } from "./lib/child.mjs";
import { PIXEL_PNG, SILENCE_WAV } from "./lib/content.mjs";
import { META, MODERN, TASKS } from "./lib/rpc.mjs";

const [era, url, server] = process.argv.slice(2);
const modern = era === "modern";
const old = server === "legacy";
// What the control plane says of the server, and what the server says itself.
const SERVER = { _meta: { [META.serverInfo]: { name: "airlock-conformance-fixture", version: "1.0.0" } } };
const STAMP = old ? {} : SERVER;
const ALL = { elicitation: {}, sampling: {}, roots: {} };
const NAME_OF = { "tools/call": "name", "prompts/get": "name", "resources/read": "uri", "tasks/get": "taskId", "tasks/update": "taskId", "tasks/cancel": "taskId" };

// ---- A client ----

let lastId = 0;
async function post(message, extra = {}) {
  const headers = { "Content-Type": "application/json", Accept: "application/json, text/event-stream", ...extra };
  if (process.env.AIRLOCK_API_KEY) headers.Authorization = `Bearer ${process.env.AIRLOCK_API_KEY}`;
  return fetch(url, { method: "POST", headers, body: JSON.stringify({ jsonrpc: "2.0", ...message }) });
}

// Every message of an answer, whichever form it has.
async function* messagesOf(response) {
  if (!response.headers.get("content-type").startsWith("text/event-stream")) {
    yield await response.json();
    return;
  }
  let waiting = "";
  for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
    const events = (waiting + chunk).split("\n\n");
    waiting = events.pop();
    for (const event of events) {
      const data = event.split("\n").filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trim()).join("\n");
      if (data !== "") yield JSON.parse(data);
    }
  }
}

const header = (value) => (/^[\x21-\x7e]+$/.test(value) ? value : `=?base64?${Buffer.from(value).toString("base64")}?=`);

async function request(method, params = {}, { capabilities = ALL, headers = {}, onMessage = () => {}, meta = {} } = {}) {
  const id = `exact-${++lastId}`;
  const own = modern
    ? { "MCP-Protocol-Version": MODERN, "Mcp-Method": method, ...(NAME_OF[method] ? { "Mcp-Name": header(params[NAME_OF[method]]) } : {}) }
    : { "MCP-Protocol-Version": "2025-11-25" };
  const stamp = modern ? { [META.version]: MODERN, [META.capabilities]: capabilities } : {};
  const response = await post({ id, method, params: { ...params, _meta: { ...stamp, ...meta } } }, { ...own, ...headers });
  for await (const message of messagesOf(response)) {
    if (message.method !== undefined) await onMessage(message);
    else {
      assert.equal(message.id, id);
      return { status: response.status, type: response.headers.get("content-type"), ...message };
    }
  }
  throw new Error(`${method} was not answered`);
}

// Answers what the server asks, and returns the result and what was asked.
async function ask(method, params, answers, options = {}) {
  const asked = [];
  const answer = ({ method: wanted, params: given }) => {
    asked.push({ method: wanted, params: given });
    const found = answers[given?.message ?? wanted];
    if (found === undefined) throw new Error(`unexpected question: ${wanted} ${JSON.stringify(given)}`);
    return found;
  };
  if (!modern) {
    const onMessage = async (message) => {
      if (message.id === undefined) return;
      const reply = await post({ id: message.id, result: answer(message) });
      assert.equal(reply.status, 202);
    };
    return { ...(await request(method, params, { ...options, onMessage })), asked };
  }
  let last = await request(method, params, options);
  for (let round = 0; last.result?.resultType === "input_required"; round++) {
    if (round > 5) throw new Error("asked without end");
    const { inputRequests, requestState } = last.result;
    const inputResponses = Object.fromEntries(Object.entries(inputRequests).map(([key, one]) => [key, answer(one)]));
    last = await request(method, { ...params, inputResponses, requestState }, options);
  }
  return { ...last, asked };
}

// ---- What is expected ----

const text = (value) => ({ content: [{ type: "text", text: value }] });
const failure = (value) => ({ ...text(value), isError: true });
const whole = (result) => ({ ...(modern ? { resultType: "complete" } : {}), ...result, ...STAMP });
// A server of the older era says nothing of caching, so the bridge allows none.
const cached = (result, ttlMs) => whole({
  ...result,
  ...(old ? (modern ? { ttlMs: 0, cacheScope: "private" } : {}) : { ttlMs, cacheScope: "public" }),
});
const form = (message, properties, required = Object.keys(properties)) => ({
  method: "elicitation/create",
  params: { message, requestedSchema: { type: "object", properties, ...(required.length > 0 ? { required } : {}) } },
});
const sample = (prompt, maxTokens) => ({
  method: "sampling/createMessage",
  params: { messages: [{ role: "user", content: { type: "text", text: prompt } }], maxTokens },
});
const roots = { method: "roots/list", params: {} };
const accept = (content) => ({ action: "accept", content });
const name = { name: { type: "string" } };

let exact = 0;
function same(got, wanted) {
  assert.deepStrictEqual(got, wanted);
  exact++;
}

async function tool(toolName, args, wanted, options = {}) {
  const params = { name: toolName, ...(args === undefined ? {} : { arguments: args }) };
  const { result, status, asked } = await ask("tools/call", params, options.answers ?? {}, options);
  same({ status, result, asked }, { status: 200, result: whole(wanted), asked: options.asks ?? [] });
}

const image = { type: "image", data: PIXEL_PNG, mimeType: "image/png" };
const contact = { name: "Ada", street: "Main St" };
const PLAIN = [
  ["test_simple_text", undefined, text("This is a simple text response for testing.")],
  ["test_image_content", undefined, { content: [image] }],
  ["test_audio_content", undefined, { content: [{ type: "audio", data: SILENCE_WAV, mimeType: "audio/wav" }] }],
  ["test_embedded_resource", undefined, {
    content: [{ type: "resource", resource: { uri: "test://embedded-resource", mimeType: "text/plain", text: "This is an embedded resource content." } }],
  }],
  ["test_multiple_content_types", undefined, {
    content: [
      { type: "text", text: "Multiple content types test:" },
      image,
      { type: "resource", resource: { uri: "test://mixed-content-resource", mimeType: "application/json", text: '{"test":"data","value":123}' } },
    ],
  }],
  ["test_error_handling", undefined, failure("This tool intentionally returns an error for testing")],
  ["test_reconnection", undefined, text("Reconnection test completed successfully")],
  ["json_schema_2020_12_tool", { name: "Ada", phone: "1" }, text('{"name":"Ada","phone":"1"}')],
  ["test_missing_capability", undefined, text("The client declared sampling")],
  ["test_trigger_tool_change", undefined, text("test_dynamic_tool is there")],
  ["test_trigger_tool_change", undefined, text("test_dynamic_tool is gone")],
  ["test_trigger_prompt_change", undefined, text("test_dynamic_prompt is there")],
  ["test_trigger_prompt_change", undefined, text("test_dynamic_prompt is gone")],
  ["greet", { name: contact.name }, text("Hello, Ada!")],
  ["greet", {}, failure("Missing argument: name")],
  ["slow_compute", { seconds: 0, label: "x" }, text("Computed x in 0 s")],
];

const options = ["option1", "option2", "option3"];
const titled = [["value1", "First"], ["value2", "Second"], ["value3", "Third"]].map(([value, title]) => ({ const: value, title }));
const yesNo = { ok: { type: "boolean" } };
const QUESTIONS = [
  ["test_sampling", { prompt: "Capital?" }, text("LLM response: Paris"),
    { answers: { "sampling/createMessage": { role: "assistant", model: "m", content: { type: "text", text: "Paris" } } }, asks: [sample("Capital?", 100)] }],
  ["test_elicitation", { message: "Who?" }, text('User response: action=accept, content={"username":"Ada","email":"a@b.c"}'), {
    answers: { "Who?": accept({ username: "Ada", email: "a@b.c" }) },
    asks: [form("Who?", { username: { type: "string", description: "User's response" }, email: { type: "string", description: "User's email address" } })],
  }],
  ["test_elicitation", { message: "Who?" }, text("User response: action=decline, content={}"), {
    answers: { "Who?": { action: "decline" } },
    asks: [form("Who?", { username: { type: "string", description: "User's response" }, email: { type: "string", description: "User's email address" } })],
  }],
  ["test_elicitation_sep1034_defaults", undefined, text('Elicitation completed: action=accept, content={"age":31}'), {
    answers: { "Please review and update the form": accept({ age: 31 }) },
    asks: [form("Please review and update the form", {
      name: { type: "string", default: "John Doe" }, age: { type: "integer", default: 30 }, score: { type: "number", default: 95.5 },
      status: { type: "string", enum: ["active", "inactive", "pending"], default: "active" }, verified: { type: "boolean", default: true },
    }, [])],
  }],
  ["test_elicitation_sep1330_enums", undefined, text("Elicitation completed: action=cancel, content={}"), {
    answers: { "Please choose": { action: "cancel" } },
    asks: [form("Please choose", {
      untitledSingle: { type: "string", enum: options }, titledSingle: { type: "string", oneOf: titled },
      legacyEnum: { type: "string", enum: ["opt1", "opt2", "opt3"], enumNames: ["Option One", "Option Two", "Option Three"] },
      untitledMulti: { type: "array", items: { type: "string", enum: options } }, titledMulti: { type: "array", items: { anyOf: titled } },
    }, [])],
  }],
  ["test_streaming_elicitation", undefined, text('Streaming elicitation: action=accept, content={"ok":true}'),
    { answers: { "Go on?": accept({ ok: true }) }, asks: [form("Go on?", yesNo)] }],
  ["test_input_required_result_elicitation", undefined, text("Hello, Ada!"),
    { answers: { "What is your name?": accept({ name: "Ada" }) }, asks: [form("What is your name?", name)] }],
  ["test_input_required_result_sampling", undefined, text("Paris"), {
    answers: { "sampling/createMessage": { role: "assistant", model: "m", content: { type: "text", text: "Paris" } } },
    asks: [sample("What is the capital of France?", 100)],
  }],
  ["test_input_required_result_list_roots", undefined, text("Roots: file:///a, file:///b"),
    { answers: { "roots/list": { roots: [{ uri: "file:///a" }, { uri: "file:///b" }] } }, asks: [roots] }],
  ["test_input_required_result_request_state", undefined, text("state-ok"),
    { answers: { "Please confirm": accept({ ok: true }) }, asks: [form("Please confirm", yesNo)] }],
  ["test_input_required_result_tampered_state", undefined, text("The state is intact"),
    { answers: { "Please confirm": accept({ ok: true }) }, asks: [form("Please confirm", yesNo)] }],
  ["test_input_required_result_multiple_inputs", undefined, text("Good day Ada (1 roots)"), {
    answers: {
      "What is your name?": accept({ name: "Ada" }), "roots/list": { roots: [{ uri: "file:///a" }] },
      "sampling/createMessage": { role: "assistant", model: "m", content: { type: "text", text: "Good day" } },
    },
    asks: [form("What is your name?", name), sample("Generate a greeting", 50), roots],
  }],
  ["test_input_required_result_multi_round", undefined, text("Ada likes blue"), {
    answers: { "Step 1: What is your name?": accept({ name: "Ada" }), "Step 2: What is your favorite color?": accept({ color: "blue" }) },
    asks: [form("Step 1: What is your name?", name), form("Step 2: What is your favorite color?", { color: { type: "string" } })],
  }],
  ["test_input_required_result_capabilities", undefined, text("Asked for user_name, greeting"), {
    answers: {
      "What is your name?": accept({ name: "Ada" }),
      "sampling/createMessage": { role: "assistant", model: "m", content: { type: "text", text: "Hi" } },
    },
    asks: [form("What is your name?", name), sample("Generate a greeting", 50)],
  }],
  ["confirm_delete", { filename: "a.txt" }, text("Deleted a.txt"),
    { answers: { "Delete a.txt?": accept({ confirm: true }) }, asks: [form("Delete a.txt?", { confirm: { type: "boolean" } })] }],
  ["multi_input", undefined, text("a, b"),
    { answers: { "First?": accept({ name: "a" }), "Second?": accept({ name: "b" }) }, asks: [form("First?", name), form("Second?", name)] }],
];

async function streams() {
  const seen = [];
  const onMessage = (message) => seen.push(message);
  const meta = { progressToken: "tok", ...(modern ? { [META.logLevel]: "info" } : {}) };
  const progress = (n) => ({ jsonrpc: "2.0", method: "notifications/progress", params: { progressToken: "tok", progress: n, total: 100 } });
  const log = (data) => ({ jsonrpc: "2.0", method: "notifications/message", params: { level: "info", logger: "airlock-conformance-fixture", data } });
  const cases = [
    ["test_tool_with_progress", "Tool with progress executed successfully", [0, 50, 100].map(progress)],
    ["test_tool_with_logging", "Tool with logging executed successfully",
      ["Tool execution started", "Tool processing data", "Tool execution completed"].map(log)],
    ["test_logging_tool", "Logged once", [log("This is a log message")]],
  ];
  for (const [toolName, said, wanted] of cases) {
    seen.length = 0;
    const { result, type } = await request("tools/call", { name: toolName, arguments: {} }, { onMessage, meta });
    same({ result, type, seen }, { result: whole(text(said)), type: "text/event-stream", seen: wanted });
  }
  const { type } = await request("tools/call", { name: "test_tool_with_progress", arguments: {} });
  same(type, "application/json"); // nobody asked for progress
  // Of the log a modern client hears what it asks for with each request: nothing, or no less than a level.
  for (const asked of modern ? [{}, { [META.logLevel]: "error" }] : []) {
    seen.length = 0;
    const quiet = await request("tools/call", { name: "test_logging_tool" }, { onMessage, meta: asked });
    same({ result: quiet.result, type: quiet.type, seen }, { result: whole(text("Logged once")), type: "application/json", seen: [] });
  }
}

async function marked() {
  const params = { name: "test_x_mcp_header", arguments: { region: "Zürich" } };
  const { result, status } = await request("tools/call", params, { headers: modern ? { "Mcp-Param-Region": header("Zürich") } : {} });
  same({ result, status }, { status: 200, result: whole(text("region=Zürich")) });
}

async function resources() {
  const read = async (uri, wanted) => {
    const { result } = await request("resources/read", { uri });
    same(result, cached({ contents: [{ uri, ...wanted }] }, 0));
  };
  await read("test://static-text", { mimeType: "text/plain", text: "This is the content of the static text resource." });
  await read("test://static-binary", { mimeType: "image/png", blob: PIXEL_PNG });
  await read("test://template/42/data", { mimeType: "application/json", text: '{"id":"42","templateTest":true,"data":"Data for ID: 42"}' });
  const { result } = await request("resources/read", { uri: "test://watched-resource" });
  const version = Number(/^Watched resource, version ([0-9]+)$/.exec(result.contents[0].text)[1]);
  await tool("test_trigger_resource_change", undefined, text(`test://watched-resource is at version ${version + 1}`));
  await read("test://watched-resource", { mimeType: "text/plain", text: `Watched resource, version ${version + 1}` });
  const { error, status } = await request("resources/read", { uri: "test://nothing" });
  const code = old && !modern ? -32002 : -32602; // the newer era has no -32002
  same({ error, status }, { status: 200, error: { code, message: "Resource not found", data: { uri: "test://nothing" } } });
}

async function prompts() {
  const user = (content) => ({ role: "user", content });
  const get = async (promptName, args, description, messages, answers = {}, asks = []) => {
    const { result, asked } = await ask("prompts/get", { name: promptName, ...(args ? { arguments: args } : {}) }, answers);
    same({ result, asked }, { result: whole({ description, messages }), asked: asks });
  };
  await get("test_simple_prompt", undefined, "A prompt without arguments", [user({ type: "text", text: "This is a simple prompt for testing." })]);
  await get("test_prompt_with_arguments", { arg1: "é", arg2: "b" }, "A prompt with two arguments",
    [user({ type: "text", text: "Prompt with arguments: arg1='é', arg2='b'" })]);
  await get("test_prompt_with_embedded_resource", { resourceUri: "test://x" }, "A prompt that carries a resource", [
    user({ type: "resource", resource: { uri: "test://x", mimeType: "text/plain", text: "Embedded resource content for testing." } }),
    user({ type: "text", text: "Please process the embedded resource above." }),
  ]);
  await get("test_prompt_with_image", undefined, "A prompt that carries an image",
    [user(image), user({ type: "text", text: "Please analyze the image above." })]);
  await get("test_input_required_result_prompt", undefined, "A prompt that asks the user for its context",
    [user({ type: "text", text: "Use this context: tests" })], { "What context should the prompt use?": accept({ context: "tests" }) },
    [form("What context should the prompt use?", { context: { type: "string" } })]);
  const { error } = await request("prompts/get", { name: "nothing" });
  same(error, { code: -32602, message: "Unknown prompt: nothing" });
  const complete = async (ref, argument, values) => {
    const { result } = await request("completion/complete", { ref, argument });
    same(result, whole({ completion: { values, total: values.length, hasMore: false } }));
  };
  await complete({ type: "ref/prompt", name: "test_prompt_with_arguments" }, { name: "arg1", value: "par" }, ["paris", "park", "party"]);
  await complete({ type: "ref/resource", uri: "test://template/{id}/data" }, { name: "id", value: "12" }, ["12", "123"]);
}

// What the fixture itself lists, when nothing is in between.
async function direct(method) {
  return new Promise((resolve) => {
    const child = new Child(({ result }) => (child.end(), resolve(result)), () => {});
    child.send({ jsonrpc: "2.0", id: 1, method, params: { _meta: { [META.version]: MODERN, [META.capabilities]: {} } } });
  });
}

async function lists() {
  for (const method of ["prompts/list", "resources/list", "resources/templates/list"]) {
    const { result } = await request(method);
    const { resultType, ttlMs, cacheScope, _meta, ...list } = await direct(method);
    same(result, cached(list, ttlMs));
  }
  const { result } = await request("tools/list");
  const { tools } = await direct("tools/list");
  same(result, { ...(modern ? { resultType: "complete" } : {}), tools, ...(modern ? { ttlMs: 30000, cacheScope: "private", ...SERVER } : {}) });
}

// ---- Tasks: an extension of the modern era ----

const withTasks = { capabilities: { ...ALL, extensions: { [TASKS]: {} } } };

async function followed(taskId, wanted) {
  for (;;) {
    const { result } = await request("tasks/get", { taskId }, withTasks);
    if (wanted.includes(result.status)) return result;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function start(toolName, args, answers = {}) {
  const { result } = await ask("tools/call", { name: toolName, arguments: args }, answers, withTasks);
  const { taskId, createdAt, lastUpdatedAt, status, ...rest } = result;
  same(rest, { resultType: "task", ttlMs: 300000, pollIntervalMs: 200, ...STAMP });
  assert.match(taskId, /^[0-9a-f-]{36}$/);
  assert.ok(Date.parse(createdAt) <= Date.parse(lastUpdatedAt));
  assert.ok(["working", "input_required"].includes(status));
  return taskId;
}

async function ends(taskId, wanted) {
  const { createdAt, lastUpdatedAt, ...rest } = await followed(taskId, ["completed", "failed", "cancelled"]);
  same(rest, { resultType: "complete", taskId, ttlMs: 300000, pollIntervalMs: 200, ...STAMP, ...wanted });
}

const finished = (result) => ({ status: "completed", result: { resultType: "complete", ...result } });

async function tasks() {
  await ends(await start("slow_compute", { seconds: 0.05, label: "x" }), finished(text("Computed x in 0.05 s")));
  await ends(await start("failing_job", {}), finished(failure("The job failed")));
  const broken = await start("protocol_error_job", {});
  const { error } = await followed(broken, ["failed"]);
  same({ code: error.code, message: error.message }, { code: -32603, message: "The job broke down" });
  await ends(await start("test_tool_with_task", {}, { "What is your name?": accept({ name: "Ada" }) }), finished(text("Task done for Ada")));

  const deleting = await start("confirm_delete", { filename: "a.txt" });
  const waiting = await followed(deleting, ["input_required"]);
  same(waiting.inputRequests, { confirm: form("Delete a.txt?", { confirm: { type: "boolean" } }) });
  const { result: updated } = await request("tasks/update", { taskId: deleting, inputResponses: { confirm: accept({ confirm: true }) } }, withTasks);
  same(updated, whole({}));
  await ends(deleting, finished(text("Deleted a.txt")));

  const endless = await start("slow_compute", { seconds: 3000 });
  const { result: cancelled } = await request("tasks/cancel", { taskId: endless }, withTasks);
  same(cancelled, whole({}));
  await ends(endless, { status: "cancelled" });

  const { error: unknown, status } = await request("tasks/get", { taskId: "no-such-task" }, withTasks);
  same({ unknown, status }, { status: 200, unknown: { code: -32602, message: "Task not found" } });
  const without = await request("tasks/get", { taskId: endless });
  same({ status: without.status, code: without.error.code, data: without.error.data },
    { status: 400, code: -32021, data: { requiredCapabilities: { extensions: { [TASKS]: {} } } } });
}

// What a client can't have is refused by name.
async function refusals() {
  const missing = (data) => ({ code: -32021, message: "Missing required client capability", data: { requiredCapabilities: data } });
  if (modern && old) {
    await tool("test_sampling", { prompt: "x" }, failure("The client refused: The client can't do that"), { capabilities: {} });
    const params = { name: "test_elicitation", arguments: { message: "Who?" } };
    const { result } = await request("tools/call", params);
    const answers = { inputResponses: { r1: accept({}) } };
    for (const changed of [
      { ...params, requestState: `${result.requestState}0` },
      { ...params, requestState: result.requestState.replace(/.$/, (c) => (c === "0" ? "1" : "0")) },
      { ...params, requestState: result.requestState, arguments: { message: "What?" } },
      { ...params, requestState: result.requestState, name: "test_streaming_elicitation" },
    ]) {
      const { error } = await request("tools/call", { ...changed, ...answers });
      same(error, { code: -32602, message: "requestState is not one that this server gave for this request" });
    }
  } else if (modern) {
    const { error, status } = await request("tools/call", { name: "test_missing_capability" }, { capabilities: {} });
    same({ error, status }, { status: 400, error: missing({ sampling: {} }) });
    const first = await request("tools/call", { name: "test_input_required_result_tampered_state" });
    const answers = { inputResponses: { confirm: accept({ ok: true }) }, requestState: `${first.result.requestState}0` };
    const tampered = await request("tools/call", { name: "test_input_required_result_tampered_state", ...answers });
    same(tampered.error, { code: -32602, message: "requestState failed verification" });
    const elsewhere = await request("tools/call", { name: "test_input_required_result_request_state", ...answers, requestState: first.result.requestState });
    same(elsewhere.error, { code: -32602, message: "requestState failed verification" });
  } else if (!old) {
    const { error, status } = await request("tools/call", { name: "failing_job" });
    same({ error, status }, { status: 200, error: missing({ extensions: { [TASKS]: {} } }) });
    const ignorant = await request("tools/call", { name: "test_sampling", arguments: { prompt: "x" } }, {
      onMessage: (message) => post({ id: message.id, error: { code: -32601, message: "No sampling here" } }),
    });
    same({ code: ignorant.error.code, named: /"fix" asked the client for something that the client refused/.test(ignorant.error.message) },
      { code: -32603, named: true });
  }
  const unknown = await request("tools/call", { name: "test_dynamic_tool" });
  same(unknown.error.code, -32602);
}

try {
  for (const one of PLAIN) await tool(...one);
  for (const one of QUESTIONS) await tool(...one);
  await marked();
  await streams();
  await resources();
  await prompts();
  await lists();
  if (modern && !old) await tasks();
  await refusals();
  console.log(`${exact} exact`);
} catch ({ message, stack }) {
  console.log(`after ${exact}: ${message}\n${stack.match(/at .*exact\.mjs:.*/g)?.join("\n")}`);
  process.exitCode = 1;
}
