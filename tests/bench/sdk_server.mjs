// The official SDK's MCP server with the same echo tool, stateless, answering JSON over HTTP. usage: sdk_server.mjs PORT
import { createServer } from "node:http";
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";

// As the SDK documents it for servers without sessions: a server and a transport for each request.
async function answer(request, response) {
  const server = new McpServer({ name: "echo", version: "1" });
  server.registerTool("echo", { description: "Answers at once", inputSchema: {} }, async () => ({ content: [{ type: "text", text: "x".repeat(32) }] }));
  const transport = new StreamableHTTPServerTransport({ sessionIdGenerator: undefined, enableJsonResponse: true });
  response.on("close", () => {
    transport.close();
    server.close();
  });
  await server.connect(transport);
  await transport.handleRequest(request, response);
}

const http = createServer((request, response) => {
  if (request.url === "/health") response.end("ok");
  else answer(request, response).catch((error) => response.destroy(error));
});
http.listen(Number(process.argv[2]), "127.0.0.1");
process.on("SIGTERM", () => process.exit(0));
