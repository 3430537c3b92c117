// The fixture as a child process, and a way to share one child between clients that know nothing of each other.
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { META } from "./rpc.mjs";

const FIXTURE = fileURLToPath(new URL("../fixture.mjs", import.meta.url));

export class Child {
  // onMessage(message) for every line of the fixture; onExit() once.
  constructor(onMessage, onExit, args = []) {
    this.process = spawn(process.execPath, [FIXTURE, ...args], { stdio: ["pipe", "pipe", "inherit"] });
    this.process.on("exit", onExit);
    this.process.stdin.on("error", () => {}); // the exit is reported above
    let waiting = "";
    this.process.stdout.setEncoding("utf8").on("data", (chunk) => {
      const lines = (waiting + chunk).split("\n");
      waiting = lines.pop();
      for (const line of lines) onMessage(JSON.parse(line));
    });
  }

  send(message) {
    this.process.stdin.write(`${JSON.stringify(message)}\n`);
  }

  end() {
    this.process.stdin.end();
  }
}

// Ids, progress tokens and subscription ids of different clients collide on one channel. Each request gets a number
// of its own in all three places, and what comes back gets the client's value again.
export class Shared {
  #calls = new Map(); // our number -> { id, token, logs, deliver }
  #last = 0;

  constructor(onExit) {
    this.child = new Child((message) => this.#receive(message), onExit);
  }

  // deliver(message, final) gets notifications and at last the response. Returns a function that cancels.
  request(message, deliver) {
    const number = ++this.#last;
    const params = message.params ?? {};
    const token = params._meta?.progressToken;
    const logs = params._meta?.[META.logLevel] !== undefined;
    const meta = params._meta && { ...params._meta, ...(token === undefined ? {} : { progressToken: number }) };
    this.#calls.set(number, { id: message.id, token, logs, deliver });
    this.child.send({ ...message, id: number, params: { ...params, _meta: meta } });
    return () => {
      if (!this.#calls.delete(number)) return;
      this.child.send({ jsonrpc: "2.0", method: "notifications/cancelled", params: { requestId: number } });
    };
  }

  #receive(message) {
    if (message.method === undefined) {
      const call = this.#calls.get(message.id);
      this.#calls.delete(message.id);
      call?.deliver({ ...message, id: call.id }, true);
      return;
    }
    const { params = {} } = message;
    if (message.method === "notifications/progress") {
      const call = this.#calls.get(params.progressToken);
      call?.deliver({ ...message, params: { ...params, progressToken: call.token } }, false);
    } else if (params._meta?.[META.subscription] !== undefined) {
      const call = this.#calls.get(params._meta[META.subscription]);
      const meta = { ...params._meta, [META.subscription]: call?.id };
      call?.deliver({ ...message, params: { ...params, _meta: meta } }, false);
    } else if (message.method === "notifications/message") {
      // stdio says nothing about which request a log message belongs to: the newest that asked for some gets it.
      [...this.#calls.values()].filter(({ logs }) => logs).at(-1)?.deliver(message, false);
    }
  }
}
