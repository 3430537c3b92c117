// Checks lines of the audit log against docs/audit-log.schema.json, and that the schema refuses what is near to them.
// usage: audit-schema.mjs SCHEMA FILE...   prints "LINES lines: EVENT EVENT ..."; each fault goes to standard error
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { Ajv2020 } from "ajv/dist/2020.js";

const [schemaFile, ...files] = process.argv.slice(2);
const schema = JSON.parse(readFileSync(schemaFile, "utf8"));
const validate = new Ajv2020({ strict: true, strictRequired: false }).compile(schema);
const events = new Set();
let lines = 0;
let faults = 0;

const copy = (row, change) => {
  const other = structuredClone(row);
  change(other);
  return other;
};

// What no line may be, made from one that is good.
function neighbours(row) {
  const all = {
    "an unknown member": copy(row, (r) => { r.sql = "SELECT 1"; }),
    "an event that there is not": copy(row, (r) => { r.event = "no.such"; }),
    "another version": copy(row, (r) => { r.v = 2; }),
    "row 0": copy(row, (r) => { r.seq = 0; }),
    "half a hash": copy(row, (r) => { r.prev = r.prev.slice(0, 32); }),
    "a hash in capitals": copy(row, (r) => { r.prev = "A".repeat(64); }),
  };
  for (const member of ["v", "seq", "event", "prev"]) all[`no ${member}`] = copy(row, (r) => { delete r[member]; });
  for (const [member, value] of Object.entries(row)) {
    const wrong = typeof value === "string" ? 7 : "text";
    all[`${member} of another type`] = copy(row, (r) => { r[member] = wrong; });
    if (typeof value === "string") all[`${member} too long`] = copy(row, (r) => { r[member] = "x".repeat(128); });
  }
  if (row.change && row.event !== "audit.stream") {
    all["a change with an unknown member"] = copy(row, (r) => { r.change.secret = "x"; });
    all["an empty change"] = copy(row, (r) => { r.change = {}; });
  }
  if (row.vouch) all["a number without the result"] = copy(row, (r) => { delete r.result_sha256; });
  if (row.event === "call.late") {
    all["a late result of nobody"] = copy(row, (r) => { r.outcome = "no_worker"; });
    all["a late result without an outcome"] = copy(row, (r) => { delete r.outcome; });
  }
  return all;
}

function check(line, where) {
  const row = JSON.parse(line);
  lines++;
  if (!validate(row)) {
    faults++;
    console.error(`${where}: ${JSON.stringify(validate.errors)}\n  ${line}`);
    return;
  }
  events.add(row.event);
  for (const [what, other] of Object.entries(neighbours(row))) {
    if (!validate(other)) continue;
    faults++;
    console.error(`${where}: the schema lets ${what} through\n  ${JSON.stringify(other)}`);
  }
}

for (const file of files) {
  const text = readFileSync(file, "utf8");
  assert(text.endsWith("\n"), `${file} has an end`);
  text.slice(0, -1).split("\n").forEach((line, i) => {
    // The first line of a bundle says what it is, and is no line of a log.
    if (i > 0 || !("format" in JSON.parse(line))) check(line, `${file}:${i + 1}`);
  });
}

console.log(`${lines} lines: ${[...events].sort().join(" ")}`);
process.exit(faults === 0 ? 0 : 1);
