# Servers of either era, over stdio and over HTTP, for clients of either era: every result is exactly what the server gave,
# bridged where the eras differ. (conformance.bats has the fourth kind of server: of the newer era, over stdio.)

load lib/stack.bash

setup_file() {
	local kind
	stack_new
	stack_up
	for kind in modern legacy; do
		start "http-$kind" "$NODE" "$REPO/tests/conformance/http-front.mjs" "$kind"
		wait_until grep -q '^http' "$LOG/http-$kind.log"
	done
	worker_of_upstreams hr web <<YAML
  - {name: fix, prefix: "", url: "$(grep -m 1 '^http' "$LOG/http-modern.log")"}
YAML
	worker_of_upstreams fintech oldweb <<YAML
  - {name: fix, prefix: "", url: "$(grep -m 1 '^http' "$LOG/http-legacy.log")"}
YAML
	worker_of_upstreams healthcare old <<YAML
  - {name: fix, prefix: "", command: ["$NODE", "$REPO/tests/conformance/fixture.mjs", legacy]}
YAML
	KEY_HR=$(mint_key t_hr)
	KEY_FINTECH=$(mint_key t_fintech)
	KEY_HEALTHCARE=$(mint_key t_healthcare)
	export KEY_HR KEY_FINTECH KEY_HEALTHCARE
}

teardown_file() {
	stack_down
	stop http-modern
	stop http-legacy
}

assert_exact() { # TENANT CLIENT'S-ERA COUNT [legacy]
	local key=KEY_${1^^}
	AIRLOCK_API_KEY=${!key} run "$NODE" "$REPO/tests/conformance/exact.mjs" "$2" "$URL/mcp/$1" ${4:+"$4"}
	assert_success
	assert_output "$3 exact"
}

@test "a legacy client, a modern server over HTTP" { assert_exact hr legacy 58; }
@test "a modern client, a modern server over HTTP, with marked arguments and tasks" { assert_exact hr modern 78; }
@test "a legacy client, a legacy server over HTTP, which closes streams and goes on in new ones" { assert_exact fintech legacy 56 legacy; }
@test "a modern client, a legacy server over HTTP" { assert_exact fintech modern 63 legacy; }
@test "a legacy client, a legacy server over stdio" { assert_exact healthcare legacy 56 legacy; }
@test "a modern client, a legacy server over stdio" { assert_exact healthcare modern 63 legacy; }

@test "no log holds a sanitizer's report" { assert_logs_clean; }
