// The revisions with sessions over HTTP. Every session has a fixture process to itself, so nothing is renamed.
import { randomUUID } from "node:crypto";
import { Child } from "./child.mjs";
import { json, startStream } from "./http-modern.mjs";
import { CODE, LEGACY } from "./rpc.mjs";

const SESSION_IDLE_MS = 60_000;
const HANG_UP_AFTER_MS = 750; // a stream without any message is closed; the client comes back for the rest
const RETRY_MS = 200;
const STREAM_EVENTS_MAX = 1000;
const STREAMS_MAX = 100;

const refuse = (response, status, code, message, id = null) =>
  json(response, status, { jsonrpc: "2.0", id, error: { code, message } });

// One SSE stream, which outlives its connections: events are kept, and a client that names the last one it has
// seen gets the rest.
class Stream {
  constructor(id, session) {
    this.id = id;
    this.session = session;
    this.events = [];
    this.done = false;
  }

  // `from` is the number of events that the client has.
  attach(response, from) {
    this.response = response;
    startStream(response, this.session.headers);
    if (this.session.resumable) response.write(`id: ${this.id}_${from}\nretry: ${RETRY_MS}\ndata: \n\n`);
    this.events.slice(from).forEach((message, i) => this.#write(message, from + i + 1));
    if (this.done) response.end();
    response.on("close", () => {
      if (this.response === response) this.response = undefined;
    });
  }

  push(message, final) {
    if (this.events.length >= STREAM_EVENTS_MAX) return;
    this.events.push(message);
    this.done = final;
    if (!this.response) return;
    this.#write(message, this.events.length);
    if (final) this.response.end();
  }

  #write(message, number) {
    const id = this.session.resumable ? `id: ${this.id}_${number}\n` : "";
    this.response.write(`event: message\n${id}data: ${JSON.stringify(message)}\n\n`);
  }
}

class Session {
  constructor(onEnd) {
    this.id = randomUUID();
    this.headers = { "Mcp-Session-Id": this.id };
    this.resumable = false;
    this.calls = new Map(); // id of a client's request -> what takes its messages
    this.streams = new Map();
    this.standalone = this.#stream();
    this.child = new Child((message) => this.#receive(message), () => onEnd(this), ["legacy"]);
    this.touch();
  }

  touch() {
    clearTimeout(this.idle);
    this.idle = setTimeout(() => this.end(), SESSION_IDLE_MS);
  }

  end() {
    clearTimeout(this.idle);
    this.child.end();
  }

  #stream() {
    const stream = new Stream(randomUUID().slice(0, 8), this);
    this.streams.set(stream.id, stream);
    const old = [...this.streams.values()].find(({ done }) => done);
    if (this.streams.size > STREAMS_MAX && old) this.streams.delete(old.id);
    return stream;
  }

  #receive(message) {
    if (message.method === undefined) {
      if (message.result?.protocolVersion) this.resumable = message.result.protocolVersion >= "2025-11-25";
      const take = this.calls.get(message.id);
      this.calls.delete(message.id);
      return take?.(message, true);
    }
    // Requests of the server, progress and log messages belong to a call, and stdio does not say to which.
    const ofCall = "id" in message || ["notifications/progress", "notifications/message"].includes(message.method);
    const take = ofCall && [...this.calls.values()].at(-1);
    if (take) take(message, false);
    else this.standalone.push(message, false);
  }

  // initialize is answered by plain JSON, any other request by a stream.
  request(message, response) {
    if (message.method === "initialize") {
      this.calls.set(message.id, (answer) => json(response, 200, answer, this.headers));
    } else {
      const stream = this.#stream();
      stream.attach(response, 0);
      const hangUp = this.resumable && setTimeout(() => response.end(), HANG_UP_AFTER_MS);
      // A client that goes away has not cancelled: the call goes on, and its stream keeps what comes.
      this.calls.set(message.id, (answer, final) => {
        clearTimeout(hangUp);
        stream.push(answer, final);
      });
    }
    this.child.send(message);
  }
}

export class Legacy {
  #sessions = new Map();

  stop() {
    for (const session of this.#sessions.values()) session.end();
  }

  #find(request, response) {
    const version = request.headers["mcp-protocol-version"];
    if (version !== undefined && !LEGACY.includes(version)) {
      refuse(response, 400, CODE.request, `Unsupported protocol version; supported: ${LEGACY.join(", ")}`);
      return undefined;
    }
    const id = request.headers["mcp-session-id"];
    const session = this.#sessions.get(id);
    if (id === undefined) refuse(response, 400, CODE.request, "Mcp-Session-Id is missing");
    else if (!session) refuse(response, 404, CODE.request, "Session not found");
    session?.touch();
    return session;
  }

  post(request, response, message) {
    if (message.method === "initialize") {
      const session = new Session(({ id }) => this.#sessions.delete(id));
      this.#sessions.set(session.id, session);
      return session.request(message, response);
    }
    const session = this.#find(request, response);
    if (!session) return undefined;
    if (message.method !== undefined && "id" in message) return session.request(message, response);
    session.child.send(message);
    return response.writeHead(202, session.headers).end();
  }

  get(request, response) {
    const session = this.#find(request, response);
    if (!session) return undefined;
    const last = request.headers["last-event-id"];
    if (last === undefined) {
      if (session.standalone.response) return refuse(response, 409, CODE.request, "There is a stream already");
      return session.standalone.attach(response, session.standalone.events.length);
    }
    const [, id, seen] = /^([0-9a-f]{8})_([0-9]{1,6})$/.exec(last) ?? [];
    const stream = session.streams.get(id);
    if (!stream) return refuse(response, 400, CODE.request, "Unknown event id");
    return stream.attach(response, Number(seen));
  }

  delete(request, response) {
    const session = this.#find(request, response);
    if (!session) return;
    this.#sessions.delete(session.id);
    session.end();
    response.writeHead(204).end();
  }
}
