// Checks lines of the audit log against docs/audit-log.schema.json, and that the schema refuses what is near to them.
// usage: audit-schema.mjs SCHEMA FILE...   prints "LINES lines: EVENT EVENT ..." ("bundle" is the first line of one); each fault goes to standard error
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

// What the first line of a bundle may not be.
function headerNeighbours(row) {
  const all = {
    "an unknown member": copy(row, (r) => { r.sql = "SELECT 1"; }),
    "another format": copy(row, (r) => { r.format = "airlock-cp audit bundle v0"; }),
    "another version": copy(row, (r) => { r.v = 2; }),
    "row 0": copy(row, (r) => { r.from = 0; }),
    "an unknown filter": copy(row, (r) => { r.filter.org = "o_1"; }),
    "an empty filter": copy(row, (r) => { r.filter = {}; }),
  };
  for (const member of ["v", "format", "from", "first", "last", "ts"]) all[`no ${member}`] = copy(row, (r) => { delete r[member]; });
  for (const [member, value] of Object.entries(row)) {
    const wrong = typeof value === "string" ? 7 : "text";
    all[`${member} of another type`] = copy(row, (r) => { r[member] = wrong; });
  }
  return all;
}

// What no line may be, made from one that is good.
function neighbours(row) {
  if (row.format) return headerNeighbours(row);
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
  if (row.event === "stamp") {
    all["a kind that there is not"] = copy(row, (r) => { r.runs = "r1c1"; });
    all["a run of nothing"] = copy(row, (r) => { r.runs = "r0"; });
    all["a stamp of no lines"] = copy(row, (r) => { r.lines = 1; });
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
  events.add(row.event ?? "bundle");
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
    check(line, `${file}:${i + 1}`);
  });
}

console.log(`${lines} lines: ${[...events].sort().join(" ")}`);
process.exit(faults === 0 ? 0 : 1);
