# The README's first command, as a new user runs it.

load lib/stack.bash

# Beside a demo that may be up for somebody to try.
setup() { export DEMO_DIR=$BATS_TEST_TMPDIR/demo; }
teardown() { make -s -C "$REPO" BUILD="$BUILD" demo-stop >/dev/null 2>&1 || true; }

try_demo() { # FRONT
	DEMO_PORT=$(free_port)
	run make -s -C "$REPO" BUILD="$BUILD" demo DEMO_PORT="$DEMO_PORT" FRONT="$1"
	assert_success
	assert_output --partial "http://localhost:$DEMO_PORT"
	assert_output --partial '"outcome":"ok"'
	# shellcheck disable=SC1091
	source "$DEMO_DIR/env"
	assert_equal "$(curl -fsS "$URL/health")" ok
	run curl -fsS "$URL/v1/tenants"
	assert_equal "$(jq -c '[.tenants[] | [.slug, .sessions]]' <<<"$output")" '[["fintech",1],["healthcare",1],["hr",1]]'
	run curl -fsS -H "Authorization: Bearer $OPERATOR_TOKEN" "$URL/v1/admin/tenants"
	assert_success
	local slug key
	for slug in FINTECH HEALTHCARE HR; do
		key=API_KEY_$slug
		run curl -fsS -H "Authorization: Bearer ${!key}" -H 'Content-Type: application/json' \
			--data '{"jsonrpc":"2.0","id":1,"method":"ping"}' "$URL/mcp/${slug,,}"
		assert_success
	done
	assert_exists "$STATE_DIR/audit.jsonl"
	run env AIRLOCK_API_KEY="$API_KEY_HR" "$BUILD/bin/airlockctl" call hr get_schema --arg subject_id=E-1001
	assert_success
	run "$BUILD/bin/airlockctl" doctor
	refute_output --regexp '(^|'$'\n'')fault'
	run make -s -C "$REPO" BUILD="$BUILD" demo-stop
	assert_success
	run curl -fsS -m 2 "$URL/health"
	assert_failure
}

@test "make demo behind nginx, and make demo-stop" { try_demo nginx; }
@test "make demo behind Caddy, and make demo-stop" { try_demo caddy; }
