// The suite cannot send a bearer token. This proxy adds one and changes nothing else: Host and Origin stay what the
// client sent, bytes go through as they come, and a client that hangs up is a hang-up behind it too.
// usage: AIRLOCK_API_KEY=... shim.mjs PORT URL; prints the URL to use when ready, ends with SIGTERM.
import { createServer, request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";

const [port, url] = process.argv.slice(2);
const target = new URL(url);
const open = target.protocol === "https:" ? httpsRequest : httpRequest;
const authorization = `Bearer ${process.env.AIRLOCK_API_KEY}`;
if (!process.env.AIRLOCK_API_KEY) {
  process.stderr.write("shim.mjs: AIRLOCK_API_KEY is not set\n");
  process.exit(2);
}

const server = createServer((client, answer) => {
  const upstream = open({
    hostname: target.hostname.replace(/^\[|\]$/g, ""),
    servername: target.hostname,
    port: target.port,
    path: client.url,
    method: client.method,
    headers: { ...client.headers, authorization },
  });
  upstream.on("response", (response) => {
    answer.writeHead(response.statusCode, response.rawHeaders);
    answer.flushHeaders();
    response.on("error", () => answer.destroy());
    response.pipe(answer);
  });
  upstream.on("error", () => {
    if (answer.headersSent) answer.destroy();
    else answer.writeHead(502).end();
  });
  answer.on("close", () => upstream.destroy());
  client.pipe(upstream);
});

server.listen(Number(port), "127.0.0.1", () => {
  process.stdout.write(`http://127.0.0.1:${server.address().port}${target.pathname}\n`);
});
process.on("SIGTERM", () => process.exit(0));
