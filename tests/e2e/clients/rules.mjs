// The rules of the MCP endpoint as one table: a request, and what it has to be answered with. The server behind it is the
// conformance fixture.
// usage: rules.mjs URL OTHER_KEY LIMITED_KEY
//   AIRLOCK_API_KEY  a key of the tenant; OTHER_KEY  one of another tenant; LIMITED_KEY  may call test_simple_text alone
import assert from "node:assert/strict";
import { request as httpRequest } from "node:http";

const [url, otherKey, limitedKey] = process.argv.slice(2);
const { host, port, origin, pathname } = new URL(url);
const key = process.env.AIRLOCK_API_KEY;
const MODERN = "2026-07-28";
const VERSION = "io.modelcontextprotocol/protocolVersion";
const CAPABILITIES = "io.modelcontextprotocol/clientCapabilities";
const CLIENT = "io.modelcontextprotocol/clientInfo";
const META = { [VERSION]: MODERN, [CAPABILITIES]: {} };
const SUPPORTED = [MODERN, "2025-11-25", "2025-06-18", "2025-03-26"];

// A header that is undefined is not sent. fetch() would not let Host, or one header twice, through.
function send({ method = "POST", path = pathname, headers = {}, body = "" }) {
  const all = {
    Host: host, Authorization: `Bearer ${key}`, "Content-Type": "application/json",
    Accept: "application/json, text/event-stream", ...headers,
  };
  const kept = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
  if (method === "POST") kept["Content-Length"] = Buffer.byteLength(body);
  return new Promise((resolve, reject) => {
    const request = httpRequest({ host: "localhost", port, path, method, headers: kept, setHost: false });
    request.on("error", reject);
    request.on("response", (response) => {
      const done = (text) => resolve({ status: response.statusCode, headers: response.headers, text });
      // A stream that does not end is answered enough by its headers.
      if (method === "GET" && response.headers["content-type"]?.startsWith("text/event-stream")) {
        done("");
        request.destroy();
        return;
      }
      // An answer that took its time has become a stream.
      const streams = response.headers["content-type"]?.startsWith("text/event-stream");
      const answer = (text) => (streams ? text.split("\n").filter((line) => line.startsWith("data: ")).at(-1)?.slice(6) : text);
      let text = "";
      response.setEncoding("utf8").on("data", (chunk) => (text += chunk)).on("end", () => done(answer(text)));
    });
    request.end(method === "POST" ? body : undefined);
  });
}

const rpc = (method, params, id = 1) => ({ jsonrpc: "2.0", id, method, ...(params === undefined ? {} : { params }) });
const legacy = (message, headers = {}) => ({ body: typeof message === "string" ? message : JSON.stringify(message), headers });

// A right request of the modern era; what is wrong about it comes in `change`.
function modern(method, params = {}, { meta = META, headers = {}, id } = {}) {
  const name = { "tools/call": params.name, "prompts/get": params.name, "resources/read": params.uri }[method] ?? params.taskId;
  return {
    body: JSON.stringify(rpc(method, { ...params, ...(meta ? { _meta: meta } : {}) }, id)),
    headers: { "MCP-Protocol-Version": MODERN, "Mcp-Method": method, "Mcp-Name": name, ...headers },
  };
}
const simple = (change) => modern("tools/call", { name: "test_simple_text" }, change);
const region = (value, headers) => modern("tools/call", { name: "test_x_mcp_header", arguments: { region: value } }, { headers });
const base64 = (text) => `=?base64?${Buffer.from(text).toString("base64")}?=`;

const SIMPLE = rpc("tools/call", { name: "test_simple_text" });
const PING = rpc("ping");
const NOTE = { jsonrpc: "2.0", method: "notifications/initialized" };
const V = (version) => ({ "MCP-Protocol-Version": version });
const initialize = (protocolVersion) => legacy(rpc("initialize", { protocolVersion, capabilities: {}, clientInfo: { name: "t", version: "1" } }));

// What an answer is to be: status, error code of JSON-RPC, code of a problem, and more.
const ok = (check = () => {}) => ({ status: 200, check });
const error = (status, code, check = () => {}) => ({ status, code, check });
const problem = (status, name, check = () => {}) => ({ status, problem: name, check });
const nothing = { status: 202, empty: true };
const said = (text) => ok(({ result }) => assert.equal(result.content[0].text, text));
const simply = said("This is a simple text response for testing.");
const refusedIds = (body) => assert.equal(body.id, null);
const withDetail = (part) => ({ error: { data } }) => assert.match(data.detail, part);

const RULES = {
  "modern: what is gone": [
    ...["initialize", "ping", "logging/setLevel", "resources/subscribe", "resources/unsubscribe"].map((method) =>
      [`${method} is unknown`, modern(method), error(404, -32601)]),
    ["any other method is unknown, too", modern("no/such"), error(404, -32601)],
    ["GET", { method: "GET", headers: V(MODERN) }, problem(405, "method_not_allowed", (_, { allow }) => assert.match(allow, /POST/))],
    ["DELETE", { method: "DELETE", headers: V(MODERN) }, problem(405, "method_not_allowed", (_, { allow }) => assert.match(allow, /POST/))],
    ["Mcp-Session-Id means nothing", simple({ headers: { "Mcp-Session-Id": "gone" } }), simply],
    ["Last-Event-ID means nothing", simple({ headers: { "Last-Event-ID": "42" } }), simply],
    ["a batch", { ...modern("tools/list"), body: `[${modern("tools/list").body}]` }, error(400, -32600)],
    ["a response", { ...modern("tools/list"), body: '{"jsonrpc":"2.0","id":1,"result":{}}' }, error(400, -32600)],
    ["a notification is accepted", { headers: { ...V(MODERN), "Mcp-Method": NOTE.method }, body: JSON.stringify(NOTE) }, nothing],
  ],
  "modern: _meta": [
    ["no protocolVersion", simple({ meta: { [CAPABILITIES]: {} } }), error(400, -32602, withDetail(/protocolVersion/))],
    ["no clientCapabilities", simple({ meta: { [VERSION]: MODERN } }), error(400, -32602, withDetail(/clientCapabilities/))],
    ["no _meta", simple({ meta: null }), error(400, -32602)],
    ["clientCapabilities that are no object", simple({ meta: { ...META, [CAPABILITIES]: [] } }), error(400, -32602)],
    ["clientInfo is welcome", simple({ meta: { ...META, [CLIENT]: { name: "t", version: "1" } } }), simply],
    ["clientInfo that is no object", simple({ meta: { ...META, [CLIENT]: 1 } }), error(400, -32602)],
    ["an unsupported version", simple({ meta: { ...META, [VERSION]: "2031-01-01" }, headers: V("2031-01-01") }),
      error(400, -32022, ({ error: { data } }) => {
        assert.deepEqual(data.supported, SUPPORTED);
        assert.equal(data.requested, "2031-01-01");
      })],
    ["a capability that the client lacks", modern("tools/call", { name: "test_missing_capability" }),
      error(400, -32021, ({ error: { data } }) => assert.deepEqual(data, { requiredCapabilities: { sampling: {} } }))],
  ],
  "modern: headers": [
    ["no MCP-Protocol-Version", simple({ headers: V(undefined) }), error(400, -32020)],
    ["another MCP-Protocol-Version than in _meta", simple({ headers: V("2025-11-25") }), error(400, -32020)],
    ["no Mcp-Method", simple({ headers: { "Mcp-Method": undefined } }), error(400, -32020)],
    ["another Mcp-Method than method", simple({ headers: { "Mcp-Method": "tools/list" } }), error(400, -32020)],
    ["Mcp-Method in capitals", simple({ headers: { "Mcp-Method": "TOOLS/CALL" } }), error(400, -32020)],
    ["white space around a value does not count", simple({ headers: { "Mcp-Method": " tools/call ", "Mcp-Name": " test_simple_text " } }), simply],
    ["Mcp-Method twice", simple({ headers: { "Mcp-Method": ["tools/call", "tools/list"] } }), problem(400, "ambiguous_header")],
    ...[["tools/call", { name: "greet" }], ["prompts/get", { name: "test_simple_prompt" }], ["resources/read", { uri: "test://static-text" }],
      ["tasks/get", { taskId: "t" }], ["tasks/update", { taskId: "t" }], ["tasks/cancel", { taskId: "t" }]].flatMap(([method, params]) => [
      [`no Mcp-Name for ${method}`, modern(method, params, { headers: { "Mcp-Name": undefined } }), error(400, -32020)],
      [`another Mcp-Name for ${method}`, modern(method, params, { headers: { "Mcp-Name": "other" } }), error(400, -32020)],
    ]),
    ["Mcp-Name in Base64", simple({ headers: { "Mcp-Name": base64("test_simple_text") } }), simply],
    ["another Mcp-Name in Base64", simple({ headers: { "Mcp-Name": base64("test_simple_tex") } }), error(400, -32020)],
    ["Mcp-Name in broken Base64", simple({ headers: { "Mcp-Name": "=?base64?dGVzd*==?=" } }), error(400, -32020)],
    ["Mcp-Name in Base64 that is no UTF-8", simple({ headers: { "Mcp-Name": "=?base64?/w==?=" } }), error(400, -32020)],
    ["a URI beyond ASCII in Base64", modern("resources/read", { uri: "test://template/é/data" }, { headers: { "Mcp-Name": base64("test://template/é/data") } }),
      ok(({ result }) => assert.match(result.contents[0].text, /"id":"é"/))],
    ["Mcp-Param", region("eu", { "Mcp-Param-Region": "eu" }), said("region=eu")],
    ["Mcp-Param in Base64", region("Zürich", { "Mcp-Param-Region": base64("Zürich") }), said("region=Zürich")],
    ["no Mcp-Param", region("eu", {}), error(400, -32020)],
    ["another Mcp-Param", region("eu", { "Mcp-Param-Region": "us" }), error(400, -32020)],
    ["Mcp-Param in broken Base64", region("eu", { "Mcp-Param-Region": "=?base64?%?=" }), error(400, -32020)],
    ["no argument needs no Mcp-Param: the tool says what is missing", region(undefined, {}),
      ok(({ result }) => assert.deepEqual([result.isError, result.content[0].text], [true, "Missing argument: region"]))],
    ["nor does null", region(null, {}), ok(({ result }) => assert.equal(result.isError, true))],
  ],
  "modern: answers": [
    ["an unknown tool", modern("tools/call", { name: "no_such_tool" }), error(200, -32602)],
    ["an unknown resource is not -32002", modern("resources/read", { uri: "test://nothing" }), error(200, -32602)],
    ["server/discover", modern("server/discover"), ok(({ result }) => {
      assert.deepEqual([result.resultType, result.supportedVersions, result.cacheScope], ["complete", SUPPORTED, "private"]);
      assert.ok(Number.isInteger(result.ttlMs));
      assert.ok(result.capabilities.tools && result.capabilities.extensions["io.modelcontextprotocol/tasks"]);
    })],
    ["tools/list", modern("tools/list"), ok(({ result }) =>
      assert.deepEqual([result.resultType, result.ttlMs, result.cacheScope], ["complete", 30000, "private"]))],
    ["resources/read", modern("resources/read", { uri: "test://static-text" }), ok(({ result }) =>
      assert.deepEqual([result.resultType, result.ttlMs, result.cacheScope], ["complete", 0, "public"]))],
    ["a question to the client is a result", modern("tools/call", { name: "test_input_required_result_elicitation" }, { meta: { ...META, [CAPABILITIES]: { elicitation: {} } } }),
      ok(({ result }) => assert.deepEqual([result.resultType, Object.keys(result.inputRequests), typeof result.requestState], ["input_required", ["user_name"], "string"]))],
    ["a result that is plain JSON", simple(), ok((_, headers) => assert.equal(headers["content-type"], "application/json"))],
    ["the id, as it was", simple({ id: "é" }), ok(({ id }) => assert.equal(id, "é"))],
  ],
  legacy: [
    ["a notification", legacy(NOTE), nothing],
    ["a response that belongs to no call", legacy('{"jsonrpc":"2.0","id":"nobody.1","result":{}}'), nothing],
    ["GET is a stream or 405", { method: "GET", headers: V("2025-11-25") }, { statuses: [200, 405] }],
    ["no session id is asked for", legacy(SIMPLE, V("2025-11-25")), simply],
    ...["2025-11-25", "2025-06-18", "2025-03-26"].flatMap((version) => [
      [`initialize of ${version} keeps the version and gives a visible session id`, initialize(version),
        ok(({ result }, headers) => {
          assert.equal(result.protocolVersion, version);
          assert.match(headers["mcp-session-id"], /^[\x21-\x7e]+$/);
        })],
      [`a request of ${version}`, legacy(PING, V(version)), ok()],
    ]),
    ["initialize with an unknown version", initialize("1999-01-01"),
      ok(({ result }) => assert.equal(result.protocolVersion, "2025-11-25"))],
    ["ping", legacy(PING), ok(({ result }) => assert.deepEqual(result, {}))],
    ["a bad version", legacy(PING, V("1999-01-01")), error(400, -32022)],
    ["server/discover is unknown", legacy(rpc("server/discover")), error(200, -32601)],
    ["an unknown method", legacy(rpc("no/such")), error(200, -32601)],
    ["an unknown tool", legacy(rpc("tools/call", { name: "no_such_tool" })), error(200, -32602)],
    ["bad input to a tool is a result", legacy(rpc("tools/call", { name: "greet", arguments: {} })),
      ok(({ result }) => assert.deepEqual([result.isError, result.content[0].text], [true, "Missing argument: name"]))],
    ["a batch without a version is of 2025-03-26", legacy([PING, NOTE, rpc("ping", undefined, 2)]),
      ok((answers) => assert.deepEqual(answers, [{ jsonrpc: "2.0", id: 1, result: {} }, { jsonrpc: "2.0", id: 2, result: {} }]))],
    ["a batch of 2025-03-26", legacy([PING], V("2025-03-26")), ok((answers) => assert.equal(answers.length, 1))],
    ["a batch of 2025-06-18", legacy([PING], V("2025-06-18")), error(400, -32600)],
    ["a batch of 2025-11-25", legacy([PING], V("2025-11-25")), error(400, -32600)],
    ["an empty batch", legacy([]), error(400, -32600)],
    ["a batch of notifications alone", legacy([NOTE, NOTE]), nothing],
    ["a batch of 51", legacy(Array.from({ length: 51 }, () => PING)), error(400, -32600)],
    ["initialize in a batch", legacy([rpc("initialize", {})]), ok(([{ error: { code } }]) => assert.equal(code, -32600))],
  ],
  "both: Origin and Host": [
    ["a foreign Origin", legacy(SIMPLE, { Origin: "https://evil.example" }), problem(403, "origin_not_allowed")],
    ["a foreign Origin, modern", simple({ headers: { Origin: "https://evil.example" } }), problem(403, "origin_not_allowed")],
    ["Origin: null", legacy(SIMPLE, { Origin: "null" }), problem(403, "origin_not_allowed")],
    ["an Origin that only begins as ours", legacy(SIMPLE, { Origin: `${origin}.evil.example` }), problem(403, "origin_not_allowed")],
    ["a foreign Origin at GET", { method: "GET", headers: { Origin: "https://evil.example" } }, problem(403, "origin_not_allowed")],
    ["our own Origin", legacy(SIMPLE, { Origin: origin }), simply],
    ["a foreign Host", legacy(SIMPLE, { Host: "evil.example" }), problem(421, "host_not_allowed")],
    ["a foreign Host that begins as ours", legacy(SIMPLE, { Host: "localhost.evil.example" }), problem(421, "host_not_allowed")],
    ["a name of this machine", legacy(SIMPLE, { Host: `127.0.0.1:${port}` }), simply],
  ],
  "both: types": [
    ["text/plain", legacy(SIMPLE, { "Content-Type": "text/plain" }), problem(415, "unsupported_media_type")],
    ["no type", legacy(SIMPLE, { "Content-Type": undefined }), problem(415, "unsupported_media_type")],
    ["a form", legacy(SIMPLE, { "Content-Type": "application/x-www-form-urlencoded" }), problem(415, "unsupported_media_type")],
    ["a type that begins as JSON does", legacy(SIMPLE, { "Content-Type": "application/jsonl" }), problem(415, "unsupported_media_type")],
    ["another charset", legacy(SIMPLE, { "Content-Type": "application/json; charset=latin1" }), problem(415, "unsupported_media_type")],
    ["charset=utf-8", legacy(SIMPLE, { "Content-Type": "application/json; charset=utf-8" }), simply],
    ["no JSON accepted", legacy(SIMPLE, { Accept: "text/html" }), problem(406, "not_acceptable")],
    ["JSON accepted with q=0", legacy(SIMPLE, { Accept: "application/json;q=0" }), problem(406, "not_acceptable")],
    ["everything accepted", legacy(SIMPLE, { Accept: "*/*" }), simply],
    ["nothing said about it", legacy(SIMPLE, { Accept: undefined }), simply],
  ],
  "both: the body is one JSON-RPC message": [
    ["no JSON", legacy('{"jsonrpc":'), error(400, -32700, refusedIds)],
    ["nothing", legacy(""), error(400, -32700, refusedIds)],
    ["two values", legacy("{} {}"), error(400, -32700, refusedIds)],
    ["nested 129 deep", legacy(`{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":${"[".repeat(127)}${"]".repeat(127)}}}`), error(400, -32700, refusedIds)],
    ["a string", legacy('"ping"'), error(400, -32600, refusedIds)],
    ["no jsonrpc", legacy({ id: 1, method: "ping" }), error(400, -32600)],
    ["another jsonrpc", legacy({ jsonrpc: "1.0", id: 1, method: "ping" }), error(400, -32600)],
    ["an id that is null", legacy({ jsonrpc: "2.0", id: null, method: "ping" }), error(400, -32600, refusedIds)],
    ["an id that is null, modern", { ...modern("tools/list"), body: modern("tools/list", {}, { id: null }).body }, error(400, -32600, refusedIds)],
    ["an id that is a fraction", legacy('{"jsonrpc":"2.0","id":1.5,"method":"ping"}'), error(400, -32600, refusedIds)],
    ["an id that is an object", legacy({ jsonrpc: "2.0", id: {}, method: "ping" }), error(400, -32600, refusedIds)],
    ["an id twice", legacy('{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}'), error(400, -32600, refusedIds)],
    ["a method that is no string", legacy({ jsonrpc: "2.0", id: 1, method: 1 }), error(400, -32600)],
    ["params that are an array", legacy({ jsonrpc: "2.0", id: 1, method: "ping", params: [] }), error(400, -32600)],
    ["a request with a result", legacy({ jsonrpc: "2.0", id: 1, method: "ping", result: {} }), error(400, -32600)],
    ["neither request nor response", legacy({ jsonrpc: "2.0", id: 1 }), error(400, -32600)],
    ["arguments that are no object", legacy(rpc("tools/call", { name: "greet", arguments: [] })), error(200, -32602)],
    ["a name twice", legacy('{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"greet","name":"test_simple_text"}}'), error(400, -32600)],
    ["a cursor that nobody gave", legacy(rpc("tools/list", { cursor: "x" })), error(200, -32602)],
  ],
  "both: keys": [
    ...[["no key", undefined], ["a wrong key", `Bearer ${key.slice(0, -2)}zz`], ["another tenant's key", `Bearer ${otherKey}`],
      ["another scheme", `Basic ${Buffer.from(`x:${key}`).toString("base64")}`]].map(([name, authorization]) =>
      [name, legacy(SIMPLE, { Authorization: authorization }), problem(401, "unauthorized", (_, headers) =>
        assert.equal(headers["www-authenticate"], `Bearer resource_metadata="${process.env.PUBLIC_URL}/.well-known/oauth-protected-resource${pathname}"`))]),
    ["a tenant that is not there", { ...legacy(SIMPLE), path: "/mcp/nobody" }, problem(401, "unauthorized")],
    ["GET without a key", { method: "GET", headers: { Authorization: undefined, ...V("2025-11-25") } }, { statuses: [401, 405] }],
    ["a tool that the key may call", legacy(SIMPLE, { Authorization: `Bearer ${limitedKey}` }), simply],
    ["a tool that the key may not call", legacy(rpc("tools/call", { name: "greet" }), { Authorization: `Bearer ${limitedKey}` }), error(403, -32051)],
    ["nor in the other era", modern("tools/call", { name: "greet" }, { headers: { Authorization: `Bearer ${limitedKey}` } }),
      error(403, -32051, ({ error: { data } }) => assert.equal(data.code, "denied"))],
    ["it lists that tool alone", legacy(rpc("tools/list"), { Authorization: `Bearer ${limitedKey}` }),
      ok(({ result }) => assert.deepEqual(result.tools.map(({ name }) => name), ["test_simple_text"]))],
  ],
  "both: discovery for OAuth-minded clients": [
    ["RFC 9728", { method: "GET", path: `/.well-known/oauth-protected-resource${pathname}`, headers: { Authorization: undefined } }, ok((body) =>
      assert.deepEqual(body, { resource: `${process.env.PUBLIC_URL}${pathname}`, resource_name: "Airlock", bearer_methods_supported: ["header"] }))],
    ...["/.well-known/oauth-authorization-server", `/.well-known/oauth-authorization-server${pathname}`, "/.well-known/openid-configuration",
      `/.well-known/openid-configuration${pathname}`, `${pathname}/.well-known/openid-configuration`].map((path) =>
      [path, { method: "GET", path, headers: { Authorization: undefined } }, problem(404, "not_found")]),
  ],
};

function check({ status, headers, text }, wanted) {
  if (wanted.statuses) return assert.ok(wanted.statuses.includes(status), `status ${status}`);
  assert.equal(status, wanted.status, `status ${status}: ${text.slice(0, 300)}`);
  if (wanted.empty) return assert.equal(text, "");
  const body = JSON.parse(text);
  if (wanted.problem) {
    assert.equal(headers["content-type"], "application/problem+json");
    assert.deepEqual([body.status, body.code], [status, wanted.problem]);
  } else if (wanted.code !== undefined) {
    assert.deepEqual([body.jsonrpc, body.error?.code, "result" in body], ["2.0", wanted.code, false]);
  } else if (!Array.isArray(body) && body.jsonrpc !== undefined) {
    assert.equal(body.error, undefined);
  }
  return wanted.check?.(body, headers);
}

let kept = 0;
for (const [group, rules] of Object.entries(RULES)) {
  for (const [name, request, wanted] of rules) {
    try {
      check(await send(request), wanted);
      kept++;
    } catch ({ message }) {
      console.log(`${group}: ${name}: ${message}`);
      process.exitCode = 1;
    }
  }
}
console.log(`${kept} rules kept`);
