// Sends a corpus of calls to a server that answers with the bytes of the arguments, and compares what comes back with
// what was sent, byte for byte: the request's way and the answer's at once.
// usage: bytes.mjs legacy|modern URL PREFIX       (the API key comes in AIRLOCK_API_KEY)
import { randomBytes } from "node:crypto";

const [era, url, prefix] = process.argv.slice(2);
const META = '"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{},' +
  '"io.modelcontextprotocol/logLevel":"info"';

const nest = (depth) => `{"n":${"[".repeat(depth)}${"]".repeat(depth)}}`;
// JSON may nest 128 deep; the arguments are the third level.
const DEEPEST = 128 - 3;

// Every entry is the text of a JSON object. A line end would end the message on the way to a server over stdio.
const CORPUS = {
  empty: "{}",
  unicode: '{"s":"h\u00e9llo \u2013 \u6f22\u5b57 \u{1f98a} \u2028\u2029 \ufeff \u0085","\u043a\u043b\u044e\u0447":"\u202eabc"}',
  escapes: String.raw`{"\u0061":"\u00e9\ud83e\udd8a\u0000\u001f\/\b\f\n\r\t\"\\","a":"A\u0041"}`,
  "lone surrogates": String.raw`{"s":"\ud800","t":"\udfff\ud800x"}`,
  doubles: '{"n":[1.7976931348623157e308,-1.7976931348623157E+308,5e-324,2.2250738585072014e-308,0.1,1.0,1e0,1.10,-0,-0.0,1E400,0.30000000000000004]}',
  integers: '{"n":[9223372036854775807,-9223372036854775808,9223372036854775808,18446744073709551616,9007199254740993,0]}',
  "a long number": `{"n":${"1234567890".repeat(200)}.${"0987654321".repeat(200)}}`,
  "deep nesting": nest(DEEPEST),
  "duplicate keys": String.raw`{"a":1,"a":2,"b":{"x":null,"\u0078":[],"x":{}},"content":[],"content":1}`,
  "white space": '{ \t"a" :\t[ 1 ,  2 ] , "b" : { }   }',
  "empty keys": '{"":{"":[{},[],"",null,true,false]}}',
  "many members": `{${Array.from({ length: 20000 }, (_, i) => `"k${i}":${i}`).join()}}`,
  "a string of 1 MB": `{"s":"${"x\u00e9\\n".repeat(200 * 1024)}"}`,
  "binary content of 1 MB": `{"content":[{"type":"image","mimeType":"image/png","data":"${randomBytes(768 * 1024).toString("base64")}"}]}`,
  "every character up to U+07FF": `{"s":"${Array.from({ length: 0x7ff - 0x7f }, (_, i) => String.fromCharCode(0x80 + i)).join("")}"}`,
};
const IDS = ["1", "-7", "9223372036854775807", '"\u00e9"', String.raw`"\u00e9"`, '""', `"${"i".repeat(1000)}"`];

async function send(tool, text, id, token, accept) {
  const meta = [...(token ? [`"progressToken":${token}`] : []), ...(era === "modern" ? [META] : [])].join();
  const body = `{"jsonrpc":"2.0","id":${id},"method":"tools/call","params":{"_meta":{${meta}},"name":"${prefix}${tool}","arguments":${text}}}`;
  const modern = { "MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call", "Mcp-Name": `${prefix}${tool}` };
  const response = await fetch(url, {
    method: "POST",
    headers: { Authorization: `Bearer ${process.env.AIRLOCK_API_KEY}`, "Content-Type": "application/json", Accept: accept, ...(era === "modern" ? modern : {}) },
    body,
  });
  return { type: response.headers.get("content-type"), status: response.status, bytes: Buffer.from(await response.arrayBuffer()) };
}

// The data of each event, as bytes.
function eventsOf(bytes) {
  const events = [];
  let lines = [];
  for (let from = 0, end; (end = bytes.indexOf(10, from)) >= 0; from = end + 1) {
    const line = bytes.subarray(from, end);
    if (line.subarray(0, 6).toString() === "data: ") lines.push(line.subarray(6));
    else if (line.length === 0 && lines.length > 0) {
      events.push(Buffer.concat(lines.flatMap((part, i) => (i > 0 ? [Buffer.from("\n"), part] : [part]))));
      lines = [];
    }
  }
  return events;
}

let same = 0;
const wrong = [];
function compare(name, got, wanted) {
  const expected = Buffer.from(wanted);
  if (got?.equals(expected)) {
    same++;
    return;
  }
  const at = expected.findIndex((byte, i) => got?.[i] !== byte);
  const near = (bytes) => bytes?.subarray(Math.max(0, at - 20), at + 60).toString();
  wrong.push(`${name}: differs at byte ${at}: ${near(expected)} became ${near(got)}`);
}

async function plain(name, text, id = "1") {
  const { status, type, bytes } = await send("raw", text, id, undefined, "application/json");
  if (status !== 200 || type !== "application/json") wrong.push(`${name}: ${status} ${type}`);
  compare(name, bytes, `{"jsonrpc":"2.0","id":${id},"result":${text}}`);
}

async function streamed(name, text) {
  const token = String.raw`"t\u006f\u00e9é"`;
  const { type, bytes } = await send("raw_stream", text, "1", token, "application/json, text/event-stream");
  if (type !== "text/event-stream") wrong.push(`${name}: ${type}`);
  const events = eventsOf(bytes);
  compare(`${name}, progress`, events[0],
    `{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":${token},"progress":1.0e0,"message":"\\u00e9é"}}`);
  compare(`${name}, log`, events[1],
    '{ "jsonrpc":"2.0", "method":"notifications/message" ,"params":{"level":"info","data":{"a":1,"a":-0.0}}}');
  compare(`${name}, result`, events[2], `{"jsonrpc":"2.0","id":1,"result":${text}}`);
  if (events.length !== 3) wrong.push(`${name}: ${events.length} events`);
}

for (const [name, text] of Object.entries(CORPUS)) {
  await plain(name, text);
  await streamed(`${name} in a stream`, text);
}
for (const id of IDS) await plain(`id ${id.slice(0, 20)}`, "{}", id);

for (const line of wrong) console.log(line);
console.log(`${same} messages came back byte for byte`);
process.exitCode = wrong.length === 0 && same === 4 * Object.keys(CORPUS).length + IDS.length ? 0 : 1;
