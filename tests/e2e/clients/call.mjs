// One agent's visit with an official SDK client: connect, list the tools, call one, print what came back as JSON.
// usage: call.mjs sdk1|legacy|auto|modern URL SUBJECT SQL   (the API key comes in AIRLOCK_API_KEY)

const [mode, url, subject, sql] = process.argv.slice(2);
const requestInit = { headers: { Authorization: `Bearer ${process.env.AIRLOCK_API_KEY}` } };

async function connect() {
  const info = { name: `test-${mode}`, version: "1" };
  if (mode === "sdk1") {
    const { Client } = await import("@modelcontextprotocol/sdk/client/index.js");
    const { StreamableHTTPClientTransport } = await import("@modelcontextprotocol/sdk/client/streamableHttp.js");
    const client = new Client(info);
    await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit }));
    return client;
  }
  const { Client, StreamableHTTPClientTransport } = await import("@modelcontextprotocol/client");
  const negotiation = { legacy: "legacy", auto: "auto", modern: { pin: "2026-07-28" } }[mode];
  const client = new Client(info, { versionNegotiation: { mode: negotiation } });
  await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit }));
  return client;
}

const client = await connect();
const { tools } = await client.listTools();
const result = await client.callTool({ name: "execute_sql", arguments: { subject_id: subject, sql } });
console.log(JSON.stringify({
  server: client.getServerVersion()?.name,
  tools: tools.map((tool) => tool.name).sort(),
  rows: result.structuredContent?.rows,
  isError: result.isError ?? false,
}));
await client.close();
