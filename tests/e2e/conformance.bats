# The official conformance suite, whole, against a server behind nginx, the pool, the tunnel daemon and a worker. The server
# is the fixture, which passes everything when nothing is in between (tests/conformance/run.sh --direct).

load lib/stack.bash

setup_file() {
	stack_new
	stack_up
	worker_of_upstreams hr fixture <<YAML
  - {name: fix, prefix: "", command: ["$NODE", "$REPO/tests/conformance/fixture.mjs"]}
YAML
	AIRLOCK_API_KEY=$(mint_key t_hr)
	RESULTS=${AIRLOCK_CONFORMANCE_RESULTS:-$BATS_FILE_TMPDIR/results}
	export AIRLOCK_API_KEY RESULTS
}

teardown_file() { stack_down; }

# The suite takes any text for an answer, so all results are compared with what they have to be.
assert_exact() { # ERA COUNT
	run "$NODE" "$REPO/tests/conformance/exact.mjs" "$1" "$URL/mcp/hr"
	assert_success
	assert_output "$2 exact"
}

@test "every tool, resource and prompt gives exactly its result, legacy" { assert_exact legacy 58; }
@test "every tool, resource and prompt gives exactly its result, modern" { assert_exact modern 76; }

assert_conforms() { # REVISION
	run "$REPO/tests/conformance/run.sh" --revision "$1" --results "$RESULTS" --shim 0 "$URL/mcp/hr"
	assert_success
	assert_output --regexp "^$1: ([0-9]+)/\1 required, [1-9][0-9]* passed, 0 failed$"
}

@test "the suite of 2025-11-25" { assert_conforms 2025-11-25; }
@test "the suite of 2026-07-28, with the tasks extension" { assert_conforms 2026-07-28; }

@test "no log holds a sanitizer's report" { assert_logs_clean; }
