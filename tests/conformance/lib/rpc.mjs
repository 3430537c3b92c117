// What every part of the fixture shares of MCP: revisions, _meta keys, error codes.
export const MODERN = "2026-07-28";
export const LEGACY = ["2025-11-25", "2025-06-18", "2025-03-26"];
export const TASKS = "io.modelcontextprotocol/tasks";
export const META = {
  version: "io.modelcontextprotocol/protocolVersion",
  capabilities: "io.modelcontextprotocol/clientCapabilities",
  logLevel: "io.modelcontextprotocol/logLevel",
  serverInfo: "io.modelcontextprotocol/serverInfo",
  subscription: "io.modelcontextprotocol/subscriptionId",
};
export const CODE = {
  parse: -32700,
  request: -32600,
  method: -32601,
  params: -32602,
  internal: -32603,
  legacyNotFound: -32002, // resource not found, up to 2025-11-25
  header: -32020,
  capability: -32021,
  version: -32022,
};

// A JSON-RPC error on its way to the client.
export class RpcError extends Error {
  constructor(code, message, data) {
    super(message);
    this.code = code;
    this.data = data;
  }

  body() {
    return { code: this.code, message: this.message, ...(this.data === undefined ? {} : { data: this.data }) };
  }
}

// A tool that ran and failed: a result with isError, not a protocol error.
export class ToolFailure extends Error {}

export const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
export const invalid = (message, data) => new RpcError(CODE.params, message, data);
export const missingCapability = (requiredCapabilities) =>
  new RpcError(CODE.capability, "Missing required client capability", { requiredCapabilities });
export const asRpcError = (error) =>
  error instanceof RpcError ? error : new RpcError(CODE.internal, `Internal error: ${error.message}`);

// Resolves after ms, or rejects as soon as the signal fires.
export function delay(ms, signal) {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const stop = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", stop);
      resolve();
    }, ms);
    signal.addEventListener("abort", stop, { once: true });
  });
}
