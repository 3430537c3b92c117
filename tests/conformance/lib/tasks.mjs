// The tasks extension: tool calls that go on after their request was answered. Tasks live in memory until their TTL.
import { randomUUID } from "node:crypto";
import { checkAnswer, requireCapabilities } from "./input.mjs";
import { RpcError, asRpcError, CODE, invalid, isObject } from "./rpc.mjs";

const TTL_MS = 300_000;
const POLL_MS = 200;
const MAX_TASKS = 1000;

class Task {
  constructor(capabilities, changed) {
    this.id = randomUUID();
    this.capabilities = capabilities;
    this.changed = changed;
    this.createdAt = new Date().toISOString();
    this.abort = new AbortController();
    this.pending = new Map(); // input request key -> { request, resolve, reject }
    this.keysUsed = new Set();
    this.detail = {};
    this.set("working");
  }

  get terminal() {
    return ["completed", "failed", "cancelled"].includes(this.status);
  }

  // The one place where a task changes. What is terminal stays as it is.
  set(status, detail = {}) {
    if (this.terminal) return;
    this.status = status;
    this.detail = detail;
    this.updatedAt = new Date().toISOString();
    this.changed(this);
  }

  // Without the status-specific part: what tools/call answers.
  head() {
    return {
      taskId: this.id,
      status: this.status,
      createdAt: this.createdAt,
      lastUpdatedAt: this.updatedAt,
      ttlMs: TTL_MS,
      pollIntervalMs: POLL_MS,
    };
  }

  // What tasks/get and notifications/tasks carry.
  view() {
    const waiting = [...this.pending].map(([name, { request }]) => [name, request]);
    const input = this.status === "input_required" ? { inputRequests: Object.fromEntries(waiting) } : {};
    return { ...this.head(), ...this.detail, ...input };
  }

  // A key is never used for two requests of one task.
  freshKey(name) {
    let made = name;
    for (let n = 2; this.keysUsed.has(made); n++) made = `${name}-${n}`;
    this.keysUsed.add(made);
    return made;
  }

  async ask(requests) {
    requireCapabilities(this.capabilities, requests);
    const answers = Object.entries(requests).map(
      ([name, request]) =>
        new Promise((resolve, reject) => {
          this.pending.set(this.freshKey(name), { request, reject, resolve: (answer) => resolve([name, answer]) });
        }),
    );
    this.set("input_required");
    return Object.fromEntries(await Promise.all(answers));
  }

  // Keys that are not outstanding are ignored; a partial answer leaves the rest outstanding.
  update(responses) {
    const known = Object.entries(responses).filter(([name]) => this.pending.has(name));
    for (const [name, answer] of known) checkAnswer(name, this.pending.get(name).request, answer);
    for (const [name, answer] of known) {
      const { resolve } = this.pending.get(name);
      this.pending.delete(name);
      resolve(answer);
    }
    if (known.length > 0) this.set(this.pending.size > 0 ? "input_required" : "working");
  }

  cancel() {
    if (this.terminal) return;
    this.set("cancelled");
    const reason = new Error("cancelled");
    this.abort.abort(reason);
    for (const { reject } of this.pending.values()) reject(reason);
    this.pending.clear();
  }
}

export class Tasks {
  #all = new Map();
  #changed;

  // changed(task) is called at every change of status.
  constructor(changed) {
    this.#changed = changed;
  }

  // run(task) settles with the tool's result, or throws what becomes the task's error.
  create(capabilities, run) {
    if (this.#all.size >= MAX_TASKS) throw new RpcError(CODE.internal, "Too many tasks");
    const task = new Task(capabilities, this.#changed);
    this.#all.set(task.id, task);
    setTimeout(() => {
      task.cancel();
      this.#all.delete(task.id);
    }, TTL_MS).unref();
    run(task).then(
      (result) => task.set("completed", { result }),
      (error) => task.set("failed", { statusMessage: error.message, error: asRpcError(error).body() }),
    );
    return task;
  }

  has(id) {
    return this.#all.has(id);
  }

  get(params) {
    const task = this.#all.get(params.taskId);
    if (task === undefined) throw invalid("Task not found");
    return task;
  }

  update(params) {
    if (!isObject(params.inputResponses)) throw invalid("inputResponses must be an object");
    this.get(params).update(params.inputResponses);
  }
}
