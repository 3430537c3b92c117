// Judges one run of the suite by the files it left, because the suite itself judges only what is required.
// usage: score.mjs RESULTS REVISION EXPECTED_FAILURES
// Prints what failed unexpectedly and one line of numbers. Status 1 when a required scenario fails, when anything else
// fails or warns without being expected to, or when an expected failure has passed.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const [results, revision, expectedPath] = process.argv.slice(2);
const suite = new URL("../node_modules/@modelcontextprotocol/conformance/", import.meta.url);
const { parse } = createRequire(new URL("dist/index.js", suite))("yaml");

const requirements = parse(readFileSync(new URL(`requirements/${revision}.yaml`, suite), "utf8"));
const required = requirements.server;
const extra = requirements.not_scored.filter(({ leg }) => leg === "server").map(({ scenario }) => scenario);
const expected = new Set(parse(readFileSync(expectedPath, "utf8"))?.server ?? []);

// A directory is named server-SCENARIO-TIME.
const directories = new Map(
  readdirSync(results).map((name) => [/^server-(.+)-\d{4}-\d\d-\d\dT[^T]*$/.exec(name)?.[1], join(results, name)]),
);

function checksOf(scenario) {
  const file = join(directories.get(scenario) ?? "/nonexistent", "checks.json");
  if (!existsSync(file)) return [{ id: "did-not-run", status: "FAILURE", errorMessage: "left no results" }];
  return JSON.parse(readFileSync(file, "utf8"));
}

const MESSAGE_MAX = 300;
const isBad = ({ status }) => status === "FAILURE" || status === "WARNING";
const count = { passed: 0, FAILURE: 0, SUCCESS: 0 };
const complaints = [];

for (const scenario of [...required, ...extra]) {
  const checks = checksOf(scenario);
  const bad = checks.filter(isBad);
  for (const { status } of checks) if (status in count) count[status]++;
  if (required.includes(scenario) && bad.length === 0) count.passed++;
  for (const { id, status, errorMessage = "" } of bad) {
    const isExpected = expected.has(scenario) || expected.has(`${scenario}:${id}`);
    if (isExpected && !required.includes(scenario)) continue;
    const message = errorMessage.split("\n", 1)[0].slice(0, MESSAGE_MAX);
    complaints.push(`${status} ${scenario}:${id} ${message}`);
  }
  const passing = checks.filter(({ id, status }) => status === "SUCCESS" && !bad.some((check) => check.id === id));
  const stale = [...(bad.length === 0 ? [scenario] : []), ...passing.map(({ id }) => `${scenario}:${id}`)];
  for (const entry of new Set(stale)) if (expected.has(entry)) complaints.push(`STALE ${entry} is listed and passes`);
}

for (const complaint of complaints) process.stderr.write(`${revision}: ${complaint}\n`);
process.stdout.write(
  `${revision}: ${count.passed}/${required.length} required, ${count.SUCCESS} passed, ${count.FAILURE} failed\n`,
);
process.exitCode = complaints.length > 0 ? 1 : 0;
