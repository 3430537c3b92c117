# The clients that people have, in both eras where they have them: at the worker's own tools, and at a server behind it.

bats_require_minimum_version 1.5.0
load lib/stack.bash

setup_file() {
	stack_new
	stack_up
	worker_up fintech
	worker_of_upstreams hr fixture <<YAML
  - {name: fix, prefix: "", command: ["$NODE", "$REPO/tests/conformance/fixture.mjs"]}
YAML
	AIRLOCK_API_KEY=$(mint_key t_fintech)
	HR_KEY=$(mint_key t_hr)
	SUBJECT=$(first_subject fintech)
	export AIRLOCK_API_KEY HR_KEY SUBJECT
}

teardown_file() { stack_down; }

assert_call() { # MODE
	run "$NODE" "$BATS_TEST_DIRNAME/clients/call.mjs" "$1" "$URL/mcp/fintech" "$SUBJECT" 'SELECT count(*) AS n FROM customers'
	assert_success
	assert_equal "$(tail -n 1 <<<"$output" | jq -c 'del(.server)')" \
		'{"tools":["execute_sql","get_schema","null_rates"],"rows":[[1]],"isError":false}'
}

@test "SDK v1 calls a tool of the database" { assert_call sdk1; }
@test "client v2, legacy, calls a tool of the database" { assert_call legacy; }
@test "client v2, negotiating, calls a tool of the database" { assert_call auto; }
@test "client v2, pinned to 2026-07-28, calls a tool of the database" { assert_call modern; }

# What every client gets to see, and the official ones besides.
EVERYONE='{"server":"airlock-conformance-fixture","tools":TOOLS,"text":"This is a simple text response for testing.",
	"image":["image/png","PNG"],"failed":[true,"This tool intentionally returns an error for testing"],
	"header":"region=Zürich",
	"elicited":"User response: action=accept, content={\"username\":\"Ada\",\"email\":\"ada@example.com\"}",
	"resource":"{\"id\":\"42\",\"templateTest\":true,\"data\":\"Data for ID: 42\"}",
	"prompt":"Prompt with arguments: arg1='"'one'"', arg2='"'two'"'","completion":["paris","park","party"]}'
OFFICIAL='{"sampled":"LLM response: Paris","progress":[0,50,100]}'

assert_visit() { # MODE REVISION [MORE]
	local tools expected
	tools=$(mcp hr "$HR_KEY" '{"jsonrpc":"2.0","id":1,"method":"tools/list"}' | head -n 1 | jq '.result.tools | length')
	AIRLOCK_API_KEY=$HR_KEY run "$NODE" "$BATS_TEST_DIRNAME/clients/visit.mjs" "$1" "$URL/mcp/hr"
	assert_success
	expected=$(jq -cSn --argjson all "${EVERYONE/TOOLS/$tools}" --argjson more "${3:-null}" --arg revision "$2" \
		'$all + $more + {revision: $revision}')
	assert_equal "$(tail -n 1 <<<"$output" | jq -cS .)" "$expected"
}

@test "SDK v1 uses a server behind the worker" { assert_visit sdk1 2025-11-25 "$OFFICIAL"; }
@test "client v2, legacy, uses a server behind the worker" { assert_visit client2-legacy 2025-11-25 "$OFFICIAL"; }
@test "client v2, negotiating, uses a server behind the worker" { assert_visit client2-auto 2026-07-28 "$OFFICIAL"; }
@test "client v2, pinned to 2026-07-28, uses a server behind the worker" { assert_visit client2-modern 2026-07-28 "$OFFICIAL"; }
@test "a client that is not of the SDK, legacy, uses a server behind the worker" { assert_visit aisdk-legacy 2025-11-25; }
@test "a client that is not of the SDK, modern, uses a server behind the worker" { assert_visit aisdk-modern 2026-07-28; }

inspector() { # SLUG KEY ERA METHOD...
	local slug=$1 key=$2 era=$3
	shift 3
	HOME=$STACK "$NODE" "$REPO/tests/node_modules/.bin/mcp-inspector" --cli "$URL/mcp/$slug" --transport http \
		--header "Authorization: Bearer $key" --protocol-era "$era" "$@"
}

@test "inspector, legacy: lists the tools" {
	run inspector fintech "$AIRLOCK_API_KEY" legacy --method tools/list
	assert_success
	assert_output --partial execute_sql
}

@test "inspector, modern: calls a tool" {
	run inspector fintech "$AIRLOCK_API_KEY" modern --method tools/call --tool-name execute_sql --tool-arg "subject_id=$SUBJECT" \
		--tool-arg 'sql=SELECT count(*) AS n FROM customers'
	assert_success
	assert_output --partial '"row_count": 1'
}

@test "inspector, both eras: reads a resource and gets a prompt of a server behind the worker" {
	local era
	for era in legacy modern; do
		run --separate-stderr inspector hr "$HR_KEY" "$era" --method resources/read --uri test://static-text
		assert_success
		assert_equal "$(jq -r '.contents[0].text' <<<"$output")" 'This is the content of the static text resource.'
		run --separate-stderr inspector hr "$HR_KEY" "$era" --method prompts/get --prompt-name test_simple_prompt
		assert_success
		assert_equal "$(jq -r '.messages[0].content.text' <<<"$output")" 'This is a simple prompt for testing.'
	done
}

@test "the journal has one row for each call at the database" {
	assert_equal "$(audit_count '.event == "tool.call" and .outcome == "ok" and .tool == "execute_sql"')" 5
}

@test "no log holds a sanitizer's report" { assert_logs_clean; }
