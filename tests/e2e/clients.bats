# The clients that people have, in both eras.

load lib/stack.bash

setup_file() {
	stack_new
	stack_up
	worker_up fintech
	AIRLOCK_API_KEY=$(mint_key t_fintech)
	SUBJECT=$(first_subject fintech)
	export AIRLOCK_API_KEY SUBJECT
}

teardown_file() { stack_down; }

assert_visit() { # MODE
	run "$NODE" "$BATS_TEST_DIRNAME/clients/call.mjs" "$1" "$URL/mcp/fintech" "$SUBJECT" 'SELECT count(*) AS n FROM customers'
	assert_success
	assert_equal "$(tail -n 1 <<<"$output" | jq -c 'del(.server)')" \
		'{"tools":["execute_sql","get_schema","null_rates"],"rows":[[1]],"isError":false}'
}

@test "SDK v1 (legacy)" { assert_visit sdk1; }
@test "client v2, legacy" { assert_visit legacy; }
@test "client v2, negotiating" { assert_visit auto; }
@test "client v2, pinned to 2026-07-28" { assert_visit modern; }

inspector() { # ERA METHOD...
	local era=$1
	shift
	HOME=$STACK "$NODE" "$REPO/tests/node_modules/.bin/mcp-inspector" --cli "$URL/mcp/fintech" --transport http \
		--header "Authorization: Bearer $AIRLOCK_API_KEY" --protocol-era "$era" "$@"
}

@test "inspector, legacy: lists the tools" {
	run inspector legacy --method tools/list
	assert_success
	assert_output --partial execute_sql
}

@test "inspector, modern: calls a tool" {
	run inspector modern --method tools/call --tool-name execute_sql --tool-arg "subject_id=$SUBJECT" \
		--tool-arg 'sql=SELECT count(*) AS n FROM customers'
	assert_success
	assert_output --partial '"row_count": 1'
}

@test "the journal has one row for each call of the visits" {
	assert_equal "$(audit_count '.event == "tool.call" and .outcome == "ok"')" 5
}

@test "no log holds a sanitizer's report" { assert_logs_clean; }
