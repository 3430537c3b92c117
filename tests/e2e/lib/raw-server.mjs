// An MCP server that treats JSON as bytes: the result of its tools is the very text of the call's arguments, as it came in.
//   raw       answers at once            raw_stream  reports progress and logs before
// usage: raw-server.mjs legacy|modern           over stdio
//        raw-server.mjs legacy|modern http      over Streamable HTTP; prints its URL when ready, and the trace of requests that have one
import { createServer } from "node:http";

const [era, transport] = process.argv.slice(2);
const LIST = JSON.stringify([{ name: "raw", inputSchema: { type: "object" } }, { name: "raw_stream", inputSchema: { type: "object" } }]);
const INFO = '{"name":"raw-server","version":"1"}';
const FIXED = {
  legacy: {
    initialize: `{"protocolVersion":"2025-11-25","capabilities":{"tools":{},"logging":{}},"serverInfo":${INFO}}`,
    "logging/setLevel": "{}",
    "tools/list": `{"tools":${LIST}}`,
  },
  modern: {
    "server/discover": `{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{}},
      "ttlMs":1,"cacheScope":"private","_meta":{"io.modelcontextprotocol/serverInfo":${INFO}}}`.replaceAll("\n", ""),
    "tools/list": `{"resultType":"complete","tools":${LIST},"ttlMs":1,"cacheScope":"private"}`,
  },
}[era];

// What follows "arguments": up to the end of the message, which is where the test puts them.
function argumentsOf(text) {
  const from = text.indexOf('"arguments":');
  return text.subarray(from + '"arguments":'.length, text.lastIndexOf("}", text.lastIndexOf("}") - 1));
}

// write(bytes): one message to the client; the last one is the response.
function serve(text, write) {
  const { id, method, params } = JSON.parse(text.toString());
  if (id === undefined || method === undefined) return;
  const respond = (body) => write(Buffer.concat([Buffer.from(`{"jsonrpc":"2.0","id":${JSON.stringify(id)},`), body, Buffer.from("}")]), true);
  if (method === "tools/call") {
    if (params.name === "raw_stream") {
      const token = JSON.stringify(params._meta?.progressToken);
      write(Buffer.from(`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":${token},"progress":1.0e0,"message":"\\u00e9é"}}`));
      write(Buffer.from('{ "jsonrpc":"2.0", "method":"notifications/message" ,"params":{"level":"info","data":{"a":1,"a":-0.0}}}'));
    }
    respond(Buffer.concat([Buffer.from('"result":'), argumentsOf(text)]));
  } else if (FIXED[method] !== undefined) {
    respond(Buffer.from(`"result":${FIXED[method]}`));
  } else {
    respond(Buffer.from('"error":{"code":-32601,"message":"Method not found"}'));
  }
}

function overStdio() {
  let waiting = Buffer.alloc(0);
  process.stdin.on("data", (chunk) => {
    waiting = Buffer.concat([waiting, chunk]);
    for (let end = waiting.indexOf(10); end >= 0; end = waiting.indexOf(10)) {
      const line = waiting.subarray(0, end);
      waiting = waiting.subarray(end + 1);
      serve(line, (bytes) => process.stdout.write(Buffer.concat([bytes, Buffer.from("\n")])));
    }
  });
  process.stdin.on("end", () => process.exit(0));
}

function overHttp() {
  const server = createServer(async (request, response) => {
    if (request.method !== "POST") return response.writeHead(405).end();
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const text = Buffer.concat(chunks);
    const { traceparent, tracestate } = request.headers;
    if (traceparent !== undefined) process.stdout.write(`trace ${request.headers["mcp-method"]} ${traceparent} ${tracestate}\n`);
    if (JSON.parse(text.toString()).id === undefined) return response.writeHead(202).end();
    let streams = false;
    serve(text, (bytes, last) => {
      if (!streams && !last) {
        response.writeHead(200, { "Content-Type": "text/event-stream" });
        streams = true;
      }
      if (!streams) return response.writeHead(200, { "Content-Type": "application/json" }).end(bytes);
      for (const line of bytes.toString().split("\n")) response.write(`data: ${line}\n`);
      response.write("\n");
      if (last) response.end();
    });
  });
  server.listen(0, "127.0.0.1", () => process.stdout.write(`http://127.0.0.1:${server.address().port}/mcp\n`));
}

if (transport === "http") overHttp();
else overStdio();
