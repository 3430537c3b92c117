# The README's first command, as a new user runs it.

load lib/stack.bash

teardown() { make -s -C "$REPO" BUILD="$BUILD" demo-stop DEMO_PORT="$DEMO_PORT" >/dev/null 2>&1 || true; }

try_demo() { # FRONT
	[[ ! -e $BUILD/demo/env ]] || make -s -C "$REPO" BUILD="$BUILD" demo-stop >/dev/null
	DEMO_PORT=$(free_port)
	run make -s -C "$REPO" BUILD="$BUILD" demo DEMO_PORT="$DEMO_PORT" FRONT="$1"
	assert_success
	assert_output --partial "http://localhost:$DEMO_PORT"
	assert_output --partial '"outcome":"ok"'
	# shellcheck disable=SC1091
	source "$BUILD/demo/env"
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
	run make -s -C "$REPO" BUILD="$BUILD" demo-stop
	assert_success
	run curl -fsS -m 2 "$URL/health"
	assert_failure
}

@test "make demo behind nginx, and make demo-stop" { try_demo nginx; }
@test "make demo behind Caddy, and make demo-stop" { try_demo caddy; }
