// The fixture's tools. `run(call, args)` returns a tool result or throws; `call` hides the era:
//   call.ask(requests)       answers of the client, by MRTR, by server-to-client requests, or through a task
//   call.progress(n, total)  only if the client gave a progress token
//   call.log(level, data)    only if the client asked for log messages
//   call.signal              fires when the client cancels
// `task: true` makes a tool run as a task for clients with the extension; "required" refuses modern clients without.
import { randomUUID } from "node:crypto";
import { supports } from "./input.mjs";
import { CODE, delay, missingCapability, RpcError, ToolFailure } from "./rpc.mjs";
import { PIXEL_PNG, SILENCE_WAV } from "./content.mjs";

const text = (value) => ({ content: [{ type: "text", text: value }] });
const object = (properties = {}, required = []) => ({
  type: "object",
  properties,
  ...(required.length > 0 ? { required } : {}),
});
const string = (description) => ({ type: "string", description });

const elicit = (message, properties, required = Object.keys(properties)) => ({
  method: "elicitation/create",
  params: { message, requestedSchema: object(properties, required) },
});
const sample = (prompt, maxTokens) => ({
  method: "sampling/createMessage",
  params: { messages: [{ role: "user", content: { type: "text", text: prompt } }], maxTokens },
});
const roots = () => ({ method: "roots/list", params: {} });
const choices = (...names) => names.map(([value, title]) => ({ const: value, title }));
const said = (answer) => (answer.content?.type === "text" ? answer.content.text : JSON.stringify(answer.content));
const outcome = (answer) => `action=${answer.action}, content=${JSON.stringify(answer.content ?? {})}`;

const STEP_MS = 50;

const plain = {
  test_simple_text: {
    description: "Returns one text",
    run: () => text("This is a simple text response for testing."),
  },
  test_image_content: {
    description: "Returns one image",
    run: () => ({ content: [{ type: "image", data: PIXEL_PNG, mimeType: "image/png" }] }),
  },
  test_audio_content: {
    description: "Returns one sound",
    run: () => ({ content: [{ type: "audio", data: SILENCE_WAV, mimeType: "audio/wav" }] }),
  },
  test_embedded_resource: {
    description: "Returns one embedded resource",
    run: () => ({
      content: [
        {
          type: "resource",
          resource: {
            uri: "test://embedded-resource",
            mimeType: "text/plain",
            text: "This is an embedded resource content.",
          },
        },
      ],
    }),
  },
  test_multiple_content_types: {
    description: "Returns a text, an image and a resource",
    run: () => ({
      content: [
        { type: "text", text: "Multiple content types test:" },
        { type: "image", data: PIXEL_PNG, mimeType: "image/png" },
        {
          type: "resource",
          resource: {
            uri: "test://mixed-content-resource",
            mimeType: "application/json",
            text: JSON.stringify({ test: "data", value: 123 }),
          },
        },
      ],
    }),
  },
  test_tool_with_logging: {
    description: "Logs three times, then returns",
    async run(call) {
      call.log("info", "Tool execution started");
      await delay(STEP_MS, call.signal);
      call.log("info", "Tool processing data");
      await delay(STEP_MS, call.signal);
      call.log("info", "Tool execution completed");
      return text("Tool with logging executed successfully");
    },
  },
  test_logging_tool: {
    description: "Logs once at info, then returns",
    run(call) {
      call.log("info", "This is a log message");
      return text("Logged once");
    },
  },
  test_tool_with_progress: {
    description: "Reports progress 0, 50, 100 of 100, then returns",
    async run(call) {
      call.progress(0, 100);
      await delay(STEP_MS, call.signal);
      call.progress(50, 100);
      await delay(STEP_MS, call.signal);
      call.progress(100, 100);
      return text("Tool with progress executed successfully");
    },
  },
  test_error_handling: {
    description: "Always fails",
    run() {
      throw new ToolFailure("This tool intentionally returns an error for testing");
    },
  },
  // Silent for long enough that a transport which polls (closes the stream and lets the client come back) does so.
  test_reconnection: {
    description: "Returns after more than a second of silence",
    async run(call) {
      await delay(1200, call.signal);
      return text("Reconnection test completed successfully");
    },
  },
  test_x_mcp_header: {
    description: "Returns the region that was also named in the Mcp-Param-Region header",
    inputSchema: object({ region: { ...string("Where to run"), "x-mcp-header": "Region" } }, ["region"]),
    run: (call, { region }) => text(`region=${region}`),
  },
  json_schema_2020_12_tool: {
    description: "Has an input schema that uses much of JSON Schema 2020-12; returns its arguments",
    inputSchema: {
      $schema: "https://json-schema.org/draft/2020-12/schema",
      type: "object",
      $defs: {
        address: {
          $anchor: "addressDef",
          type: "object",
          properties: { street: { type: "string" }, city: { type: "string" } },
        },
      },
      properties: {
        name: { type: "string" },
        address: { $ref: "#/$defs/address" },
        contactMethod: { type: "string", enum: ["phone", "email"] },
        phone: { type: "string" },
        email: { type: "string" },
      },
      allOf: [{ anyOf: [{ required: ["phone"] }, { required: ["email"] }] }],
      if: { properties: { contactMethod: { const: "phone" } }, required: ["contactMethod"] },
      then: { required: ["phone"] },
      else: { required: ["email"] },
      additionalProperties: false,
    },
    run: (call, args) => text(JSON.stringify(args)),
  },
  test_missing_capability: {
    description: "Refuses clients that did not declare sampling",
    run(call) {
      call.require({ sampling: {} });
      return text("The client declared sampling");
    },
  },
  test_trigger_tool_change: {
    description: "Adds the tool test_dynamic_tool to the list, or takes it away",
    run: (call) => text(`test_dynamic_tool is ${call.toggle("tools") ? "there" : "gone"}`),
  },
  test_trigger_prompt_change: {
    description: "Adds the prompt test_dynamic_prompt to the list, or takes it away",
    run: (call) => text(`test_dynamic_prompt is ${call.toggle("prompts") ? "there" : "gone"}`),
  },
  test_trigger_resource_change: {
    description: "Changes the content of test://watched-resource",
    run: (call) => text(`test://watched-resource is at version ${call.touchWatched()}`),
  },
};

const asking = {
  test_sampling: {
    description: "Asks the client's model",
    inputSchema: object({ prompt: string("What to ask") }, ["prompt"]),
    async run(call, { prompt }) {
      const { answer } = await call.ask({ answer: sample(prompt, 100) });
      return text(`LLM response: ${said(answer)}`);
    },
  },
  test_elicitation: {
    description: "Asks the user for a name and an address",
    inputSchema: object({ message: string("What the user reads") }, ["message"]),
    async run(call, { message }) {
      const form = { username: string("User's response"), email: string("User's email address") };
      const { answer } = await call.ask({ answer: elicit(message, form) });
      return text(`User response: ${outcome(answer)}`);
    },
  },
  test_elicitation_sep1034_defaults: {
    description: "Asks with a default for every primitive type",
    async run(call) {
      const form = {
        name: { type: "string", default: "John Doe" },
        age: { type: "integer", default: 30 },
        score: { type: "number", default: 95.5 },
        status: { type: "string", enum: ["active", "inactive", "pending"], default: "active" },
        verified: { type: "boolean", default: true },
      };
      const { answer } = await call.ask({ answer: elicit("Please review and update the form", form, []) });
      return text(`Elicitation completed: ${outcome(answer)}`);
    },
  },
  test_elicitation_sep1330_enums: {
    description: "Asks with every kind of enumeration",
    async run(call) {
      const options = ["option1", "option2", "option3"];
      const titled = choices(["value1", "First"], ["value2", "Second"], ["value3", "Third"]);
      const form = {
        untitledSingle: { type: "string", enum: options },
        titledSingle: { type: "string", oneOf: titled },
        legacyEnum: {
          type: "string",
          enum: ["opt1", "opt2", "opt3"],
          enumNames: ["Option One", "Option Two", "Option Three"],
        },
        untitledMulti: { type: "array", items: { type: "string", enum: options } },
        titledMulti: { type: "array", items: { anyOf: titled } },
      };
      const { answer } = await call.ask({ answer: elicit("Please choose", form, []) });
      return text(`Elicitation completed: ${outcome(answer)}`);
    },
  },
  test_streaming_elicitation: {
    description: "Reports progress, then asks the user",
    async run(call) {
      call.progress(0, 1);
      const { answer } = await call.ask({ answer: elicit("Go on?", { ok: { type: "boolean" } }) });
      return text(`Streaming elicitation: ${outcome(answer)}`);
    },
  },
  test_input_required_result_elicitation: {
    description: "Asks the user's name",
    async run(call) {
      const { user_name } = await call.ask({ user_name: elicit("What is your name?", { name: { type: "string" } }) });
      return text(`Hello, ${user_name.content?.name ?? "stranger"}!`);
    },
  },
  test_input_required_result_sampling: {
    description: "Asks the client's model for a capital",
    async run(call) {
      const { capital_question } = await call.ask({ capital_question: sample("What is the capital of France?", 100) });
      return text(said(capital_question));
    },
  },
  test_input_required_result_list_roots: {
    description: "Asks for the client's roots",
    async run(call) {
      const { client_roots } = await call.ask({ client_roots: roots() });
      return text(`Roots: ${client_roots.roots.map(({ uri }) => uri).join(", ")}`);
    },
  },
  test_input_required_result_request_state: {
    description: "Asks for a confirmation and takes it only with its state",
    async run(call) {
      const confirm = elicit("Please confirm", { ok: { type: "boolean" } });
      await call.ask({ confirm }, { sealed: true });
      return text("state-ok");
    },
  },
  test_input_required_result_multiple_inputs: {
    description: "Asks for a name, a greeting and the roots at once",
    async run(call) {
      const answers = await call.ask(
        {
          user_name: elicit("What is your name?", { name: { type: "string" } }),
          greeting: sample("Generate a greeting", 50),
          client_roots: roots(),
        },
        { sealed: true },
      );
      const { user_name, greeting, client_roots } = answers;
      return text(`${said(greeting)} ${user_name.content?.name} (${client_roots.roots.length} roots)`);
    },
  },
  test_input_required_result_multi_round: {
    description: "Asks for a name, and when that is there for a colour",
    async run(call) {
      const name = elicit("Step 1: What is your name?", { name: { type: "string" } });
      const { step1 } = await call.ask({ step1: name }, { sealed: true });
      const color = elicit("Step 2: What is your favorite color?", { color: { type: "string" } });
      const { step2 } = await call.ask({ step2: color }, { sealed: true });
      return text(`${step1.content?.name} likes ${step2.content?.color}`);
    },
  },
  test_input_required_result_tampered_state: {
    description: "Asks for a confirmation under a state that must not be changed",
    async run(call) {
      const confirm = elicit("Please confirm", { ok: { type: "boolean" } });
      await call.ask({ confirm }, { sealed: true });
      return text("The state is intact");
    },
  },
  test_input_required_result_capabilities: {
    description: "Asks only for what the client can give",
    async run(call) {
      const all = {
        user_name: elicit("What is your name?", { name: { type: "string" } }),
        greeting: sample("Generate a greeting", 50),
      };
      const possible = Object.entries(all).filter(([, { method }]) => supports(call.capabilities, method));
      if (possible.length === 0) throw missingCapability({ sampling: {} });
      await call.ask(Object.fromEntries(possible));
      return text(`Asked for ${possible.map(([name]) => name).join(", ")}`);
    },
  },
};

const working = {
  greet: {
    description: "Says hello at once",
    inputSchema: object({ name: string("Whom to greet") }, ["name"]),
    run: (call, { name }) => text(`Hello, ${name}!`),
  },
  slow_compute: {
    description: "Takes the given number of seconds",
    inputSchema: object({ seconds: { type: "number", minimum: 0 }, label: string("Comes back in the result") }),
    task: true,
    async run(call, { seconds = 1, label = "" }) {
      await delay(Math.min(seconds, 3600) * 1000, call.signal);
      return text(`Computed ${label} in ${seconds} s`);
    },
  },
  failing_job: {
    description: "Fails as a tool does, after a while",
    task: "required",
    async run(call) {
      await delay(500, call.signal);
      throw new ToolFailure("The job failed");
    },
  },
  protocol_error_job: {
    description: "Fails as a protocol error, after a while",
    task: true,
    async run(call) {
      await delay(200, call.signal);
      throw new RpcError(CODE.internal, "The job broke down", { incident: randomUUID() });
    },
  },
  confirm_delete: {
    description: "Asks the user before it pretends to delete a file",
    inputSchema: object({ filename: string("What to delete") }, ["filename"]),
    task: true,
    async run(call, { filename }) {
      const { confirm } = await call.ask({ confirm: elicit(`Delete ${filename}?`, { confirm: { type: "boolean" } }) });
      return text(confirm.content?.confirm === true ? `Deleted ${filename}` : `Kept ${filename}`);
    },
  },
  multi_input: {
    description: "Asks the user two things at once",
    task: true,
    async run(call) {
      const form = { name: { type: "string" } };
      const { first, second } = await call.ask({ first: elicit("First?", form), second: elicit("Second?", form) });
      return text(`${first.content?.name}, ${second.content?.name}`);
    },
  },
  // What it asks for is asked before the task exists; the task then works with the answer.
  test_tool_with_task: {
    description: "Asks the user's name, then goes on as a task",
    task: "required",
    async before(call) {
      const { user_name } = await call.ask({ user_name: elicit("What is your name?", { name: { type: "string" } }) });
      return user_name.content?.name ?? "stranger";
    },
    async run(call, args, name) {
      await delay(300, call.signal);
      return text(`Task done for ${name}`);
    },
  },
};

const dynamic = { description: "Comes and goes", run: () => text("Here for now") };

const TYPE_OK = {
  string: (value) => typeof value === "string",
  number: (value) => typeof value === "number",
};

// Only as much of JSON Schema as the schemas above need. Bad input is the tool's error, not the protocol's.
export function checkArguments(schema, args) {
  for (const name of schema.required ?? []) {
    if (args[name] === undefined) throw new ToolFailure(`Missing argument: ${name}`);
  }
  for (const [name, value] of Object.entries(args)) {
    const type = schema.properties?.[name]?.type;
    if (type in TYPE_OK && !TYPE_OK[type](value)) throw new ToolFailure(`Argument ${name} must be a ${type}`);
  }
}

const FIXED = new Map(
  Object.entries({ ...plain, ...asking, ...working }).map(([name, tool]) => [
    name,
    { inputSchema: object(), ...tool, name },
  ]),
);
const DYNAMIC = { inputSchema: object(), ...dynamic, name: "test_dynamic_tool" };

export function findTool(name, withDynamic) {
  return withDynamic && name === DYNAMIC.name ? DYNAMIC : FIXED.get(name);
}

export function listTools(withDynamic) {
  return [...FIXED.values(), ...(withDynamic ? [DYNAMIC] : [])].map(({ name, description, inputSchema }) => ({
    name,
    description,
    inputSchema,
  }));
}
