// A client's visit at the conformance fixture: uses all that the client offers and prints what came back as one line of
// JSON, which is the same for every client.
// usage: visit.mjs sdk1|client2-legacy|client2-auto|client2-modern|aisdk-legacy|aisdk-modern URL
//        (the API key comes in AIRLOCK_API_KEY)

const [mode, url] = process.argv.slice(2);
const headers = { Authorization: `Bearer ${process.env.AIRLOCK_API_KEY}` };
const [kind, era] = mode.split("-");
const info = { name: `test-${mode}`, version: "1" };
const capabilities = { elicitation: {}, sampling: {}, roots: {} };
const filledIn = { action: "accept", content: { username: "Ada", email: "ada@example.com" } };

// The SDK's two clients differ in how a handler is registered.
function official(client, onRequest) {
  onRequest("elicitation/create", () => filledIn);
  onRequest("sampling/createMessage", () => ({
    role: "assistant", model: "m", content: { type: "text", text: "Paris" },
  }));
  onRequest("roots/list", () => ({ roots: [{ uri: "file:///srv" }] }));
  return {
    client,
    version: () => client.getServerVersion(),
    tools: async () => (await client.listTools()).tools.map(({ name }) => name),
    call: (name, args = {}) => client.callTool({ name, arguments: args }),
    read: (uri) => client.readResource({ uri }),
    prompt: (name, args) => client.getPrompt({ name, arguments: args }),
    complete: (name, argument) => client.complete({ ref: { type: "ref/prompt", name }, argument }),
  };
}

const CONNECT = {
  async sdk1() {
    const { Client } = await import("@modelcontextprotocol/sdk/client/index.js");
    const { StreamableHTTPClientTransport } = await import("@modelcontextprotocol/sdk/client/streamableHttp.js");
    const types = await import("@modelcontextprotocol/sdk/types.js");
    const schemas = {
      "elicitation/create": types.ElicitRequestSchema,
      "sampling/createMessage": types.CreateMessageRequestSchema,
      "roots/list": types.ListRootsRequestSchema,
    };
    const client = new Client(info, { capabilities });
    const visitor = official(client, (method, handler) => client.setRequestHandler(schemas[method], handler));
    const transport = new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } });
    await client.connect(transport);
    const withProgress = (onprogress) => client.callTool({ name: "test_tool_with_progress" }, undefined, { onprogress });
    return { ...visitor, revision: transport.protocolVersion, progress: withProgress };
  },
  async client2() {
    const { Client, StreamableHTTPClientTransport } = await import("@modelcontextprotocol/client");
    const negotiation = { legacy: "legacy", auto: "auto", modern: { pin: "2026-07-28" } }[era];
    const client = new Client(info, { capabilities, versionNegotiation: { mode: negotiation } });
    const visitor = official(client, (method, handler) => client.setRequestHandler(method, handler));
    await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } }));
    const withProgress = (onprogress) => client.callTool({ name: "test_tool_with_progress" }, { onprogress });
    return { ...visitor, revision: client.getNegotiatedProtocolVersion(), progress: withProgress };
  },
  // Its protocol code is its own: it shares none with the SDKs.
  async aisdk() {
    const { createMCPClient, ElicitationRequestSchema } = await import("@ai-sdk/mcp");
    const client = await createMCPClient({
      transport: { type: "http", url, headers },
      capabilities: { elicitation: {} },
      protocolVersionDiscovery: era === "modern",
    });
    client.onElicitationRequest(ElicitationRequestSchema, () => filledIn);
    const tools = await client.tools();
    return {
      client,
      revision: client.initializeResult.protocolVersion,
      version: () => client.serverInfo,
      tools: async () => Object.keys(tools),
      call: (name, args = {}) => tools[name].execute(args, { toolCallId: "1", messages: [] }),
      read: (uri) => client.readResource({ uri }),
      prompt: (name, args) => client.getPrompt({ name, arguments: args }),
      complete: (name, argument) => client.complete({ ref: { type: "ref/prompt", name }, argument }),
    };
  },
};

const visitor = await CONNECT[kind]();
const { call } = visitor;
const textOf = (result) => result.content[0].text;

const seen = { revision: visitor.revision, server: visitor.version().name };
const names = await visitor.tools();
seen.tools = names.length;
seen.text = textOf(await call("test_simple_text"));
const image = await call("test_image_content");
seen.image = [image.content[0].mimeType, Buffer.from(image.content[0].data, "base64").subarray(1, 4).toString()];
const failed = await call("test_error_handling");
seen.failed = [failed.isError, textOf(failed)];
seen.header = textOf(await call("test_x_mcp_header", { region: "Zürich" }));
seen.elicited = textOf(await call("test_elicitation", { message: "Who?" }));
seen.resource = (await visitor.read("test://template/42/data")).contents[0].text;
const { messages } = await visitor.prompt("test_prompt_with_arguments", { arg1: "one", arg2: "two" });
seen.prompt = messages[0].content.text;
seen.completion = (await visitor.complete("test_prompt_with_arguments", { name: "arg1", value: "par" })).completion.values;
// What only the official clients can do.
if (kind !== "aisdk") {
  seen.sampled = textOf(await call("test_sampling", { prompt: "Capital of France?" }));
  const steps = [];
  await visitor.progress(({ progress }) => steps.push(progress));
  seen.progress = steps;
}
await visitor.client.close();
console.log(JSON.stringify(seen));
