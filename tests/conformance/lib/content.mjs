// The fixture's resources, prompts and completions.
import { CODE, invalid, MODERN, RpcError } from "./rpc.mjs";

// One red pixel; eight samples of silence.
export const PIXEL_PNG =
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR42mP4z8AAAAMBAQD3A0FDAAAAAElFTkSuQmCC";
export const SILENCE_WAV = "UklGRiwAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQgAAACAgICAgICAgA==";

export const WATCHED = "test://watched-resource";

export const RESOURCES = [
  {
    uri: "test://static-text",
    name: "static-text",
    description: "A text that never changes",
    mimeType: "text/plain",
  },
  {
    uri: "test://static-binary",
    name: "static-binary",
    description: "An image that never changes",
    mimeType: "image/png",
  },
  { uri: WATCHED, name: "watched-resource", description: "A text to subscribe to", mimeType: "text/plain" },
];

export const TEMPLATES = [
  {
    uriTemplate: "test://template/{id}/data",
    name: "template",
    description: "Data of an id",
    mimeType: "application/json",
  },
];

export function readResource(uri, era, watchedVersion) {
  if (uri === "test://static-text") {
    return { uri, mimeType: "text/plain", text: "This is the content of the static text resource." };
  }
  if (uri === "test://static-binary") return { uri, mimeType: "image/png", blob: PIXEL_PNG };
  if (uri === WATCHED) return { uri, mimeType: "text/plain", text: `Watched resource, version ${watchedVersion}` };
  const id = /^test:\/\/template\/([^/]+)\/data$/.exec(uri)?.[1];
  if (id !== undefined) {
    const data = { id, templateTest: true, data: `Data for ID: ${id}` };
    return { uri, mimeType: "application/json", text: JSON.stringify(data) };
  }
  throw new RpcError(era === MODERN ? CODE.params : CODE.legacyNotFound, "Resource not found", { uri });
}

const user = (content) => ({ role: "user", content });
const userText = (text) => user({ type: "text", text });
const required = (name, description) => ({ name, description, required: true });

const PROMPTS = {
  test_simple_prompt: {
    description: "A prompt without arguments",
    get: () => [userText("This is a simple prompt for testing.")],
  },
  test_prompt_with_arguments: {
    description: "A prompt with two arguments",
    arguments: [required("arg1", "First test argument"), required("arg2", "Second test argument")],
    get: (call, { arg1, arg2 }) => [userText(`Prompt with arguments: arg1='${arg1}', arg2='${arg2}'`)],
  },
  test_prompt_with_embedded_resource: {
    description: "A prompt that carries a resource",
    arguments: [required("resourceUri", "URI of the resource to embed")],
    get: (call, { resourceUri }) => [
      user({
        type: "resource",
        resource: { uri: resourceUri, mimeType: "text/plain", text: "Embedded resource content for testing." },
      }),
      userText("Please process the embedded resource above."),
    ],
  },
  test_prompt_with_image: {
    description: "A prompt that carries an image",
    get: () => [
      user({ type: "image", data: PIXEL_PNG, mimeType: "image/png" }),
      userText("Please analyze the image above."),
    ],
  },
  test_input_required_result_prompt: {
    description: "A prompt that asks the user for its context",
    async get(call) {
      const requestedSchema = { type: "object", properties: { context: { type: "string" } }, required: ["context"] };
      const message = "What context should the prompt use?";
      const { user_context } = await call.ask({
        user_context: { method: "elicitation/create", params: { message, requestedSchema } },
      });
      return [userText(`Use this context: ${user_context.content?.context ?? "none"}`)];
    },
  },
};
const DYNAMIC = { description: "Comes and goes", get: () => [userText("Here for now")] };

const prompts = (withDynamic) => ({ ...PROMPTS, ...(withDynamic ? { test_dynamic_prompt: DYNAMIC } : {}) });

export function listPrompts(withDynamic) {
  return Object.entries(prompts(withDynamic)).map(([name, { description, arguments: args }]) => ({
    name,
    description,
    ...(args === undefined ? {} : { arguments: args }),
  }));
}

export async function getPrompt(call, { name, arguments: args = {} }, withDynamic) {
  const all = prompts(withDynamic);
  if (!Object.hasOwn(all, name)) throw invalid(`Unknown prompt: ${name}`);
  for (const wanted of all[name].arguments ?? []) {
    if (typeof args[wanted.name] !== "string") throw invalid(`Missing argument: ${wanted.name}`);
  }
  return { description: all[name].description, messages: await all[name].get(call, args) };
}

const WORDS = ["paris", "park", "party", "test-one", "test-two"];

export function complete({ ref, argument }) {
  if (typeof argument?.name !== "string" || typeof argument.value !== "string") throw invalid("Bad argument");
  const prompt = ref?.type === "ref/prompt" && Object.hasOwn(PROMPTS, ref.name);
  const template = ref?.type === "ref/resource" && TEMPLATES.some(({ uriTemplate }) => uriTemplate === ref.uri);
  if (!prompt && !template) throw invalid("Unknown reference");
  const values = (prompt ? WORDS : ["1", "12", "123"]).filter((word) => word.startsWith(argument.value));
  return { completion: { values, total: values.length, hasMore: false } };
}
