# An MCP server behind the worker: the conformance fixture as a child process, through the whole stack.

load lib/stack.bash

FIXTURE=$REPO/tests/conformance/fixture.mjs

setup_file() {
	stack_new
	stack_up
	worker_enroll fintech
	cat >>"$STACK/workers/worker-fintech/airlock.yaml" <<YAML

upstreams:
  - name: fix
    command: ["$NODE", "$FIXTURE"]
  - name: spy
    prefix: ""
    command: ["$NODE", "$REPO/tests/e2e/lib/legacy-server.mjs"]
    env: [AIRLOCK_E2E_LISTED]
  - name: hurried
    command: ["$NODE", "$REPO/tests/e2e/lib/legacy-server.mjs", tools]
    timeout_ms: 1500
YAML
	# What a sanitizer keeps of freed memory, to find who uses it, is not what the worker keeps.
	stack_env AIRLOCK_E2E_LISTED=listed AIRLOCK_E2E_HIDDEN=hidden ASAN_OPTIONS=quarantine_size_mb=8
	worker_start fintech
	wait_until sessions_are fintech 1
	KEY=$(mint_key t_fintech)
	SUBJECT=$(first_subject fintech)
	export KEY SUBJECT
}

teardown() { [[ -z ${STOPPED:-} ]] || pkill -CONT -P "$STOPPED" || true; }

teardown_file() { stack_down; }

rpc() { # METHOD PARAMS [ID]
	jq -cn --arg m "$1" --argjson p "$2" --argjson id "${3:-1}" '{jsonrpc:"2.0",id:$id,method:$m,params:$p}'
}

# call METHOD PARAMS [ID]: the legacy client's answer, in $ANSWER.
call() {
	run mcp fintech "$KEY" "$(rpc "$@")"
	assert_line --index 1 200
	ANSWER=${lines[0]}
}

# modern METHOD PARAMS: as a client of 2026-07-28 does.
modern() {
	local params name
	params=$(jq -c '. + {_meta: {"io.modelcontextprotocol/protocolVersion": "2026-07-28",
		"io.modelcontextprotocol/clientCapabilities": {sampling: {}, elicitation: {}, roots: {}}}}' <<<"$2")
	name=$(jq -r '.name // .uri // empty' <<<"$2")
	run mcp fintech "$KEY" "$(rpc "$1" "$params" '"m"')" -H 'MCP-Protocol-Version: 2026-07-28' \
		-H "Mcp-Method: $1" ${name:+-H "Mcp-Name: $name"}
	assert_line --index 1 200
	ANSWER=${lines[0]}
}

spy_pid() { # [PREFIX]
	call tools/call "{\"name\":\"${1:-}whoami\",\"arguments\":{}}"
	SPY=$(jq -er '.result.content[0].text | fromjson | .pid' <<<"$ANSWER")
}

@test "tools of the database and of the upstreams are listed side by side, prefixed" {
	call tools/list '{}'
	assert_equal "$(jq -c '[.result.tools[].name] | [index("execute_sql"), index("fix_test_simple_text"), index("whoami")]
		| map(. != null)' <<<"$ANSWER")" '[true,true,true]'
}

@test "a tool's schema arrives as the server wrote it" {
	call tools/list '{}'
	local direct
	direct=$(printf '%s\n' '{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{}}}' \
		'{"jsonrpc":"2.0","id":2,"method":"tools/list"}' | "$NODE" "$FIXTURE" | tail -n 1 |
		jq -c '.result.tools[] | select(.name == "json_schema_2020_12_tool") | .inputSchema')
	assert_equal "$(jq -c '.result.tools[] | select(.name == "fix_json_schema_2020_12_tool") | .inputSchema' <<<"$ANSWER")" "$direct"
}

@test "initialize says what all of them offer together" {
	call initialize '{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}'
	assert_equal "$(jq -c '.result.capabilities | [.prompts.listChanged, .resources.subscribe, .completions]' <<<"$ANSWER")" \
		'[true,true,{}]'
}

@test "a legacy client calls a tool of a modern server" {
	call tools/call '{"name":"fix_test_simple_text","arguments":{}}' '"id-\u00e9"'
	assert_equal "$(jq -c '[.id, .result.content[0].text, .result.resultType]' <<<"$ANSWER")" \
		'["id-é","This is a simple text response for testing.",null]'
}

@test "a modern client calls a tool of a modern server" {
	modern tools/call '{"name":"fix_test_simple_text","arguments":{}}'
	assert_equal "$(jq -c '[.id, .result.resultType]' <<<"$ANSWER")" '["m","complete"]'
}

@test "a modern client calls a tool of a legacy server" {
	modern tools/call '{"name":"whoami","arguments":{}}'
	assert_equal "$(jq -c '[.id, .result.resultType, (.result.content | length)]' <<<"$ANSWER")" '["m","complete",1]'
}

@test "a modern client is asked by a legacy server, and comes back with the answer" {
	modern tools/call '{"name":"ask","arguments":{}}'
	assert_equal "$(jq -c '[.result.resultType, (.result.inputRequests | map(.method))]' <<<"$ANSWER")" \
		'["input_required",["elicitation/create"]]'
	local state key params
	state=$(jq -r .result.requestState <<<"$ANSWER")
	key=$(jq -r '.result.inputRequests | keys[0]' <<<"$ANSWER")
	params=$(jq -cn --arg s "$state" --arg k "$key" \
		'{name:"ask",arguments:{},requestState:$s,inputResponses:{($k):{action:"accept",content:{colour:"red"}}}}')
	modern tools/call "$(jq -c '.requestState += "0"' <<<"$params")"
	assert_equal "$(jq -c .error.code <<<"$ANSWER")" -32602
	modern tools/call "$(jq -c '.arguments = {other: 1}' <<<"$params")"
	assert_equal "$(jq -c .error.code <<<"$ANSWER")" -32602
	modern tools/call "$params"
	assert_equal "$(jq -r '.result.content[0].text' <<<"$ANSWER")" '{"action":"accept","content":{"colour":"red"}}'
}

@test "a question that a server takes back is taken back from the client" {
	run mcp fintech "$KEY" "$(rpc tools/call '{"name":"withdraw","arguments":{}}')"
	assert_equal "$(sed -n 's/^data: //p' <<<"$output" | jq -sc '.[0].id as $question | map(
		if .method == "notifications/cancelled" then [.method, .params.requestId == $question, .params.reason]
		else [.method // .result.content[0].text] end)')" \
		'[["roots/list"],["notifications/cancelled",true,"not needed"],["\"withdrawn\""]]'
	# A modern client has the question as a result; what comes of the call is there when it comes back.
	modern tools/call '{"name":"withdraw","arguments":{}}'
	modern tools/call "$(jq -c '{name:"withdraw",arguments:{},requestState:.result.requestState,
		inputResponses:(.result.inputRequests | map_values({roots:[]}))}' <<<"$ANSWER")"
	assert_equal "$(jq -r '.result.content[0].text' <<<"$ANSWER")" '"withdrawn"'
}

in_hand() { [[ $(admin GET /v1/admin/status | jq .tunnel.calls_in_flight) == "$1" ]]; }

@test "a call that is cancelled is cancelled at its server" {
	local before agent
	call tools/call '{"name":"cancelled","arguments":{}}'
	before=$(jq -r '.result.content[0].text' <<<"$ANSWER")
	mcp fintech "$KEY" "$(rpc tools/call '{"name":"linger","arguments":{}}' 77)" >/dev/null 3>&- &
	agent=$!
	wait_until in_hand 1
	run mcp fintech "$KEY" '{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":77}}'
	assert_line 202
	wait "$agent"
	call tools/call '{"name":"cancelled","arguments":{}}'
	assert_equal "$(jq -r '.result.content[0].text' <<<"$ANSWER")" $((before + 1))
}

@test "a client that takes no stream is not asked, and the server is told so at once" {
	ACCEPT=application/json call tools/call '{"name":"ask","arguments":{}}'
	assert_equal "$(jq -r '.result.content[0].text' <<<"$ANSWER")" \
		"refused: The client can't be asked: it does not accept text/event-stream"
	ACCEPT=application/json call tools/call '{"name":"fix_test_elicitation","arguments":{"message":"?"}}'
	assert_equal "$(jq -c '.error | [.code, (.message | test("asked the client for something that the client refused"))]' <<<"$ANSWER")" \
		'[-32603,true]'
}

@test "resources are read by URI, whoever has them" {
	call resources/read '{"uri":"test://static-text"}'
	assert_equal "$(jq -c '[.result.contents[0].uri, (.result.contents[0].text | length > 0)]' <<<"$ANSWER")" '["test://static-text",true]'
	call resources/read '{"uri":"spy://one"}'
	assert_equal "$(jq -r '.result.contents[0].text' <<<"$ANSWER")" one
	call resources/read '{"uri":"nobody://has"}'
	assert_equal "$(jq -c '.error.code' <<<"$ANSWER")" -32002
}

@test "lists of several servers follow each other by cursor" {
	call resources/list '{}'
	local cursor
	cursor=$(jq -er .result.nextCursor <<<"$ANSWER")
	assert_equal "$(jq -c '[.result.resources[].uri] | index("test://static-text") != null' <<<"$ANSWER")" true
	call resources/list "$(jq -cn --arg c "$cursor" '{cursor:$c}')"
	assert_equal "$(jq -c '[[.result.resources[].uri], .result.nextCursor]' <<<"$ANSWER")" '[["spy://one"],null]'
	call resources/list '{"cursor":"7.x"}'
	assert_equal "$(jq -c '.error.code' <<<"$ANSWER")" -32602
}

@test "prompts have the prefix, and are found by it" {
	call prompts/list '{}'
	assert_equal "$(jq -c '[.result.prompts[].name] | all(startswith("fix_"))' <<<"$ANSWER")" true
	call prompts/get '{"name":"fix_test_prompt_with_arguments","arguments":{"arg1":"one","arg2":"two"}}'
	assert_equal "$(jq -c '.result.messages[0].content.text | contains("one")' <<<"$ANSWER")" true
	call prompts/get '{"name":"test_simple_prompt"}'
	assert_equal "$(jq -c '.error.code' <<<"$ANSWER")" -32602
}

@test "completion goes to the prompt's server" {
	call completion/complete '{"ref":{"type":"ref/prompt","name":"fix_test_prompt_with_arguments"},"argument":{"name":"arg1","value":"p"}}'
	assert_equal "$(jq -c '.result.completion.values | type' <<<"$ANSWER")" '"array"'
}

@test "methods of one era are unknown in the other" {
	local headers=(-H 'MCP-Protocol-Version: 2026-07-28' -H 'Mcp-Method: tasks/list')
	run mcp fintech "$KEY" "$(rpc tasks/list '{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}')" "${headers[@]}"
	assert_line --index 1 404
	assert_equal "$(jq -c .error.code <<<"${lines[0]}")" -32601
}

@test "an upstream sees no variable but those it is to see" {
	spy_pid
	assert_equal "$(jq -c '.result.content[0].text | fromjson | [.env.AIRLOCK_E2E_LISTED, .env.AIRLOCK_E2E_HIDDEN,
		.env.DATABASE_URL, .env.AIRLOCK_CP_OPERATOR_TOKEN, .env.AIRLOCK_SESSION_SECRET]' <<<"$ANSWER")" \
		'["listed",null,null,null,null]'
}

@test "an upstream that is killed fails its call, is started again, and harms no neighbour" {
	spy_pid
	local before=$SPY
	call tools/call '{"name":"die","arguments":{}}'
	assert_equal "$(jq -c '.error.code' <<<"$ANSWER")" -32603
	call tools/call '{"name":"fix_test_simple_text","arguments":{}}'
	assert_equal "$(jq -c '.error' <<<"$ANSWER")" null
	again() { spy_pid && [[ $SPY != "$before" ]]; }
	wait_until again
}

neighbour_answers() {
	call tools/call '{"name":"fix_test_simple_text","arguments":{}}'
	assert_equal "$(jq -r '.result.content[0].text' <<<"$ANSWER")" "This is a simple text response for testing."
}

@test "an upstream that writes no JSON-RPC is started again" {
	spy_pid
	local before=$SPY
	call tools/call '{"name":"garbage","arguments":{}}'
	assert_equal "$(jq -c '.error.code' <<<"$ANSWER")" -32603
	neighbour_answers
	again() { spy_pid && [[ $SPY != "$before" ]]; }
	wait_until again
}

chatter() { # MIB [curl args]
	local mib=$1
	shift
	mcp fintech "$KEY" "$(rpc tools/call "{\"name\":\"chatter\",\"arguments\":{\"mib\":$mib}}")" -N -o "$BATS_TEST_TMPDIR/flood" "$@"
}

@test "a flood of messages reaches who takes it, and the answer comes behind it" {
	spy_pid
	local before=$SPY
	run chatter 12
	assert_success
	assert_equal "$(grep -c notifications/message "$BATS_TEST_TMPDIR/flood")" 192
	assert_equal "$(grep -o '"pid\\":[0-9]*' "$BATS_TEST_TMPDIR/flood" | tail -n 1)" "\"pid\\\":$before"
	neighbour_answers
}

@test "a flood that its client does not take ends the call, which it is told, and harms no neighbour" {
	spy_pid
	local before=$SPY cancelled
	cancelled=$(audit_count '.event == "tool.call" and .outcome == "cancelled"')
	chatter 64 >/dev/null 3>&- &
	STOPPED=$!
	wait_until test -s "$BATS_TEST_TMPDIR/flood"
	pkill -STOP -P "$STOPPED"
	wait_until audit_count_is '.event == "tool.call" and .outcome == "cancelled"' $((cancelled + 1))
	neighbour_answers
	ACCEPT=application/json spy_pid # for what is left of the flood belongs to no call
	assert_equal "$SPY" "$before"
	pkill -CONT -P "$STOPPED"
	wait "$STOPPED"
	assert_equal "$(sed -n 's/^data: //p' "$BATS_TEST_TMPDIR/flood" | tail -n 1 | jq -c '[.error.code, .error.data.code]')" '[-32057,"cancelled"]'
	run grep -o 'came faster than they were taken' "$BATS_TEST_TMPDIR/flood"
	assert_success
}

@test "of the flood's 64 MiB the worker kept nothing" {
	[[ $BUILD != */san ]] || skip 'a sanitizer holds freed memory back'
	run awk '/^VmHWM/ { print ($2 < 100000 ? "bounded" : $2) }' "/proc/$(pid_of worker-fintech)/status"
	assert_output bounded
}

@test "a message that is too long is skipped, and its call fails at once" {
	ACCEPT=application/json call tools/call '{"name":"huge","arguments":{}}'
	assert_equal "$(jq -c '[.error.code, (.error.message | contains("larger than the worker takes"))]' <<<"$ANSWER")" '[-32054,true]'
	spy_pid
}

@test "an upstream that hangs times out its call, and harms no neighbour" {
	wait_until spy_pid hurried_
	echo "$SPY" >"$BATS_FILE_TMPDIR/hung"
	ACCEPT=application/json call tools/call '{"name":"hurried_hang","arguments":{}}'
	assert_equal "$(jq -c '[.error.code, (.error.message | contains("\"hurried\""))]' <<<"$ANSWER")" '[-32052,true]'
	neighbour_answers
}

@test "the worker's own tools answer beside them" {
	run mcp fintech "$KEY" "$(sql_call "$SUBJECT" 'SELECT count(*) AS n FROM customers')"
	assert_line --index 1 200
	assert_equal "$(jq -c .result.structuredContent.rows <<<"${lines[0]}")" '[[1]]'
}

@test "two upstreams with one name for a tool are refused at the start" {
	worker_enroll fintech clash
	cat >>"$STACK/workers/worker-clash/airlock.yaml" <<YAML

upstreams:
  - {name: a, prefix: "", command: ["$NODE", "$REPO/tests/e2e/lib/legacy-server.mjs"]}
  - {name: b, prefix: "", command: ["$NODE", "$REPO/tests/e2e/lib/legacy-server.mjs"]}
YAML
	demo_data
	run env "DATABASE_URL=sqlite:$DATA/fintech.db" timeout 30 "$BIN/airlock-worker" run \
		--config "$STACK/workers/worker-clash/airlock.yaml"
	assert_failure 1
	assert_output --partial "two tools are called"
}

@test "a worker without a database serves its upstreams alone" {
	worker_enroll hr alone
	sed -i '/^worker:/,$!d' "$STACK/workers/worker-alone/airlock.yaml"
	cat >>"$STACK/workers/worker-alone/airlock.yaml" <<YAML
upstreams:
  - {name: fix, prefix: "", command: ["$NODE", "$FIXTURE"]}
YAML
	start worker-alone "$BIN/airlock-worker" run --config "$STACK/workers/worker-alone/airlock.yaml"
	wait_until sessions_are hr 1
	run mcp hr "$(mint_key t_hr)" "$(rpc tools/call '{"name":"test_simple_text"}')"
	assert_line --index 1 200
	assert_equal "$(jq -r '.result.content[0].text' <<<"${lines[0]}")" "This is a simple text response for testing."
	stop worker-alone
}

@test "an upstream is told who calls, where it is to be, and the log says it of every call" {
	local key id got call
	worker_enroll hr told
	sed -i '/^worker:/,$!d' "$STACK/workers/worker-told/airlock.yaml"
	echo '[{"name":"meta","inputSchema":{"type":"object"}}]' >"$STACK/tools.json"
	cat >>"$STACK/workers/worker-told/airlock.yaml" <<YAML
upstreams:
  - {name: told, command: ["$NODE", "$REPO/tests/e2e/lib/tools-server.mjs", "$STACK/tools.json"], forward_identity: true}
  - {name: untold, command: ["$NODE", "$REPO/tests/e2e/lib/tools-server.mjs", "$STACK/tools.json"]}
YAML
	start worker-told "$BIN/airlock-worker" run --config "$STACK/workers/worker-told/airlock.yaml"
	wait_until sessions_are hr 1
	got=$(admin POST /v1/admin/tenants/t_hr/keys '{"name":"the \"assistant\""}')
	key=$(jq -er .key <<<"$got")
	id=$(jq -er .id <<<"$got")
	call='{"name":"told_meta","arguments":{"secret":"s3cret-argument"},"_meta":{"airlock-cp/identity":{"key_id":"root"},"mine":1}}'
	run mcp hr "$key" "$(rpc tools/call "$call")" -H 'X-Request-Id: req_of_the_agent' \
		-H 'traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
	assert_equal "$(jq -r '.result.content[0].text' <<<"${lines[0]}" | jq -cS .meta)" "$(jq -cnS --arg id "$id" \
		'{mine: 1, traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "airlock-cp/identity":
		{tenant_id: "t_hr", key_id: $id, key_name: "the \"assistant\"", request_id: "req_of_the_agent"}}')"
	run mcp hr "$key" "$(rpc tools/call "${call/told_/untold_}")"
	assert_equal "$(jq -r '.result.content[0].text' <<<"${lines[0]}" | jq -cS .meta)" '{"airlock-cp/identity":{"key_id":"root"},"mine":1}'

	run grep -c "call req_of_the_agent of told_meta by $id (the .*assistant.*): ok in" "$LOG/worker-told.log"
	assert_output 1
	run grep -c 's3cret-argument' "$LOG/worker-told.log"
	assert_output 0
	run jq -r 'select(.request_id == "req_of_the_agent") | [.event, .key_id] | join(" ")' "$AUDIT"
	assert_output "tool.call $id"
	stop worker-told
}

@test "a call of the database's own tools is logged with who made it" {
	local id
	id=$(admin GET /v1/admin/tenants/t_fintech/keys | jq -er '.keys[0].id')
	call tools/call "{\"name\":\"get_schema\",\"arguments\":{\"subject_id\":\"$SUBJECT\"}}"
	run grep -cE "call req_[a-z0-9]+ of get_schema by $id \(test\): ok in [0-9]+ ms" "$LOG/worker-fintech.log"
	assert_output 1
}

@test "an upstream behind HTTP serves clients of both eras, by its newer era" {
	start http-front "$NODE" "$REPO/tests/conformance/http-front.mjs"
	wait_until grep -q '^http' "$LOG/http-front.log"
	worker_enroll healthcare web
	sed -i '/^worker:/,$!d' "$STACK/workers/worker-web/airlock.yaml"
	cat >>"$STACK/workers/worker-web/airlock.yaml" <<YAML
upstreams:
  - {name: web, url: "$(grep -m 1 '^http' "$LOG/http-front.log")"}
YAML
	start worker-web "$BIN/airlock-worker" run --config "$STACK/workers/worker-web/airlock.yaml"
	wait_until sessions_are healthcare 1
	run grep -c 'upstream web is ready, speaking MCP 2026-07-28' "$LOG/worker-web.log"
	assert_output 1
	local key
	key=$(mint_key t_healthcare)
	run mcp healthcare "$key" "$(rpc tools/call '{"name":"web_test_simple_text"}')"
	assert_line --index 1 200
	assert_equal "$(jq -r '.result.content[0].text' <<<"${lines[0]}")" "This is a simple text response for testing."
	run mcp healthcare "$key" "$(rpc resources/read '{"uri":"test://static-text"}')"
	assert_equal "$(jq -r '.result.contents[0].uri' <<<"${lines[0]}")" test://static-text
	run mcp healthcare "$key" "$(rpc prompts/get '{"name":"web_test_simple_prompt"}')"
	assert_equal "$(jq -r '.result.messages | length' <<<"${lines[0]}")" 1
	stop http-front
	run mcp healthcare "$key" "$(rpc tools/call '{"name":"web_test_simple_text"}')"
	assert_equal "$(jq -r '.error.code' <<<"${lines[0]}")" -32603
	stop worker-web
}

@test "the upstream that hung was started again" {
	again() { ACCEPT=application/json spy_pid hurried_ && [[ $SPY != "$(cat "$BATS_FILE_TMPDIR/hung")" ]]; }
	wait_until again
}

@test "no log holds a sanitizer's report" { assert_logs_clean; }
