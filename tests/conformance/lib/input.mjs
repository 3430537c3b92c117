// Asking the client for something (elicitation, sampling, roots) the way 2026-07-28 does it: the request ends
// with an input_required result, and the client sends it again with the answers. What was answered in earlier
// rounds travels in requestState, which the client holds and therefore is sealed with a MAC.
import { createHash, createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { invalid, isObject, missingCapability } from "./rpc.mjs";

const STATE_TTL_MS = 600_000;
// Several processes behind one address must open each other's states: they share a key by environment.
const key = process.env.FIXTURE_STATE_KEY
  ? createHash("sha256").update(process.env.FIXTURE_STATE_KEY).digest()
  : randomBytes(32);

const CAPABILITY = {
  "elicitation/create": { elicitation: {} },
  "sampling/createMessage": { sampling: {} },
  "roots/list": { roots: {} },
};

export function supports(capabilities, method) {
  const [name] = Object.keys(CAPABILITY[method]);
  const declared = capabilities[name];
  if (!isObject(declared)) return false;
  // An elicitation capability that names modes and leaves out `form` means URLs only.
  return name !== "elicitation" || Object.keys(declared).length === 0 || isObject(declared.form);
}

export function requireCapabilities(capabilities, requests) {
  const methods = Object.values(requests).map(({ method }) => method);
  const missing = methods.filter((method) => !supports(capabilities, method));
  if (missing.length > 0) throw missingCapability(Object.assign({}, ...missing.map((method) => CAPABILITY[method])));
}

const ANSWER_OK = {
  "elicitation/create": (answer) =>
    ["accept", "decline", "cancel"].includes(answer.action) && (answer.action !== "accept" || isObject(answer.content)),
  "sampling/createMessage": (answer) => typeof answer.role === "string" && "content" in answer,
  "roots/list": (answer) => Array.isArray(answer.roots),
};

export function checkAnswer(name, { method }, answer) {
  if (!isObject(answer) || !ANSWER_OK[method](answer)) {
    throw invalid(`The response to input request "${name}" is not a ${method} result`);
  }
  return answer;
}

function mac(binding, payload) {
  return createHmac("sha256", key).update(binding).update("\0").update(payload).digest("base64url");
}

// A state is good only for the request that it came from: same method, same name, same arguments.
function bindingOf(method, params) {
  const digest = createHash("sha256").update(JSON.stringify(params.arguments ?? {})).digest("base64url");
  return JSON.stringify([method, params.name, digest]);
}

function seal(binding, answers) {
  const expires = Date.now() + STATE_TTL_MS;
  const payload = Buffer.from(JSON.stringify({ expires, answers })).toString("base64url");
  return `${payload}.${mac(binding, payload)}`;
}

function open(binding, state) {
  const refused = invalid("requestState failed verification");
  if (typeof state !== "string") throw refused;
  const [payload, ...rest] = state.split(".");
  // The text of the MAC is compared, not its bytes: a lenient decoder would ignore what is appended to it.
  const given = Buffer.from(rest.join("."));
  const wanted = Buffer.from(mac(binding, payload));
  if (given.length !== wanted.length || !timingSafeEqual(given, wanted)) throw refused;
  const { expires, answers } = JSON.parse(Buffer.from(payload, "base64url").toString());
  if (expires < Date.now()) throw invalid("requestState has expired");
  return answers;
}

class InputRequired extends Error {
  constructor(requests, answers) {
    super("input required");
    this.requests = requests;
    this.answers = answers;
  }
}

// Runs body(ask) once. body starts from the top in every round; ask() gives it the answers that are there, and
// ends the round when one is missing. With `sealed`, answers count only if a state of ours came with them.
export async function rounds(method, params, capabilities, body) {
  const binding = bindingOf(method, params);
  const given = params.inputResponses === undefined ? {} : params.inputResponses;
  if (!isObject(given)) throw invalid("inputResponses must be an object");
  const before = params.requestState === undefined ? undefined : open(binding, params.requestState);
  const answers = { ...before };

  async function ask(requests, { sealed = false } = {}) {
    requireCapabilities(capabilities, requests);
    for (const [name, request] of Object.entries(requests)) {
      if (name in answers || !Object.hasOwn(given, name) || (sealed && before === undefined)) continue;
      answers[name] = checkAnswer(name, request, given[name]);
    }
    const missing = Object.entries(requests).filter(([name]) => !(name in answers));
    if (missing.length > 0) throw new InputRequired(Object.fromEntries(missing), answers);
    return answers;
  }

  try {
    return await body(ask);
  } catch (error) {
    if (!(error instanceof InputRequired)) throw error;
    return {
      resultType: "input_required",
      inputRequests: error.requests,
      requestState: seal(binding, error.answers),
    };
  }
}
