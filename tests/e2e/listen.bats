# Streams on which agents hear of changes, through both web servers: subscriptions/listen and the GET stream.

load lib/stack.bash

META='{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}'

setup() {
	STREAMS=()
}

# Ends what a test has opened.
teardown() {
	local pid
	for pid in "${STREAMS[@]}"; do kill "$pid" 2>/dev/null || true; done
	stack_down
}

# stack_with FRONT: a control plane and, not yet started, a worker in front of a server with a resource.
stack_with() {
	stack_new "$1"
	stack_config limits.stream_keepalive_ms 300
	stack_config limits.streams_per_tenant 3
	stack_up
	worker_enroll fintech
	cat >>"$STACK/workers/worker-fintech/airlock.yaml" <<YAML

upstreams:
  - name: spy
    prefix: ""
    command: ["$NODE", "$REPO/tests/e2e/lib/legacy-server.mjs"]
YAML
	KEY_JSON=$(admin POST /v1/admin/tenants/t_fintech/keys '{"name":"test"}')
	KEY=$(jq -er .key <<<"$KEY_JSON")
}

# listen NAME FILTER: a modern stream in the background; what it brings is in $STACK/NAME, its head in $STACK/NAME.head.
listen() {
	local body
	body=$(jq -cn --argjson f "$2" --argjson m "$META" '{jsonrpc:"2.0",id:"sub",method:"subscriptions/listen",params:{_meta:$m,notifications:$f}}')
	curl -sSN -m 60 -D "$STACK/$1.head" -o "$STACK/$1" -H "Authorization: Bearer $KEY" -H 'Content-Type: application/json' \
		-H 'Accept: application/json, text/event-stream' -H 'MCP-Protocol-Version: 2026-07-28' -H 'Mcp-Method: subscriptions/listen' \
		--data-binary "$body" "$URL/mcp/fintech" 2>/dev/null 3>&- &
	STREAMS+=($!)
}

# get_stream NAME [curl args]: an older client's.
get_stream() {
	local name=$1
	shift
	curl -sSN -m 60 -D "$STACK/$name.head" -o "$STACK/$name" -H "Authorization: Bearer $KEY" -H 'Accept: text/event-stream' "$@" \
		"$URL/mcp/fintech" 2>/dev/null 3>&- &
	STREAMS+=($!)
}

has() { grep -qF -- "$2" "$STACK/$1"; }
beats() { (($(grep -c '^:' "$STACK/$1") >= $2)); }
streams_are() { [[ $(admin GET /v1/admin/status | jq .tunnel.streams) == "$1" ]]; }

# The whole life of streams, behind one web server.
through() {
	stack_with "$1"
	listen modern '{"toolsListChanged":true}'
	wait_until has modern notifications/subscriptions/acknowledged
	get_stream legacy
	wait_until has legacy :
	wait_until streams_are 2
	run cat "$STACK/modern.head" "$STACK/legacy.head"
	assert_output --partial 'text/event-stream'
	assert_output --regexp '[Xx]-[Rr]equest-[Ii]d: req_'
	refute_output --partial Accel-Redirect

	worker_start fintech
	wait_until has modern tools/list_changed
	wait_until has legacy tools/list_changed
	assert_equal "$(grep -c resources/list_changed "$STACK/modern")" 0
	assert_equal "$(sed -n 's/^data: //p' "$STACK/modern" | jq -sc 'map(.params._meta["io.modelcontextprotocol/subscriptionId"]) | unique')" '["sub"]'
	assert_equal "$(sed -n 's/^data: //p' "$STACK/modern" | head -n 1 | jq -c '[.method, .params.notifications]')" \
		'["notifications/subscriptions/acknowledged",{"toolsListChanged":true}]'

	# A resource: the worker acknowledges, and what the server says arrives.
	listen resource '{"resourceSubscriptions":["spy://one"]}'
	wait_until has resource notifications/subscriptions/acknowledged
	run mcp fintech "$KEY" '{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"touch","arguments":{}}}'
	assert_line --index 1 200
	wait_until has resource '"uri":"spy://one"'
	refute has modern '"uri":"spy://one"'
	refute has legacy '"uri":"spy://one"'

	# No more than allowed; each hang-up makes room.
	run mcp fintech "$KEY" '{}' -X GET
	assert_output --partial '"code":"overloaded"'
	assert_line 429
	kill "${STREAMS[2]}"
	wait_until streams_are 2
	wait_until beats legacy 3

	# A server that says that a list has changed.
	run mcp fintech "$KEY" '{"jsonrpc":"2.0","id":4,"method":"tools/call","params":{"name":"grow","arguments":{}}}'
	wait_until eval '[[ $(grep -c tools/list_changed "$STACK/modern") == 2 ]]'
	run mcp fintech "$KEY" '{"jsonrpc":"2.0","id":5,"method":"tools/list"}'
	assert_output --partial '"grown"'

	# The key's end is the streams' end.
	admin DELETE "/v1/admin/tenants/t_fintech/keys/$(jq -r .id <<<"$KEY_JSON")" >/dev/null
	wait_until gone "${STREAMS[0]}"
	wait_until gone "${STREAMS[1]}"
	assert_equal "$(sed -n 's/^data: //p' "$STACK/modern" | tail -n 1 | jq -c '[.id, .result.resultType]')" '["sub","complete"]'
	assert_equal "$(audit_count '.event == "stream.open" and .outcome == "ok"')" 3
	wait_until audit_count_is '.event == "stream.close"' 3
	assert_equal "$(audit_rows '.event == "stream.close"' | jq -sc 'map(.outcome) | sort')" '["client_gone","key_revoked","key_revoked"]'
	refute grep -rF "$KEY" "$LOG" "$AUDIT"
	assert_logs_clean
}

@test "streams through nginx: acknowledged, told of changes, bounded, ended with their key" { through nginx; }

@test "streams through Caddy: acknowledged, told of changes, bounded, ended with their key" { through caddy; }

@test "an older client's subscription comes on its GET stream, and only there; all end with the daemon" {
	stack_with nginx
	worker_start fintech
	wait_until sessions_are fintech 1
	run mcp fintech "$KEY" '{"jsonrpc":"2.0","id":1,"method":"resources/subscribe","params":{"uri":"spy://one"}}' -H 'Mcp-Session-Id: mcp_one'
	assert_line --index 1 200
	get_stream one -H 'Mcp-Session-Id: mcp_one'
	get_stream two -H 'Mcp-Session-Id: mcp_two'
	listen three '{"promptsListChanged":true}'
	wait_until streams_are 3
	wait_until has one :
	run mcp fintech "$KEY" '{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"touch","arguments":{}}}'
	wait_until has one '"uri":"spy://one"'
	refute has two '"uri":"spy://one"'
	# An event that the worker sent behind it would have come by now.
	wait_until has three acknowledged
	stop tunneld
	wait_until gone "${STREAMS[0]}"
	wait_until gone "${STREAMS[2]}"
	assert has three '"resultType":"complete"'
	assert_equal "$(audit_rows '.event == "stream.close"' | jq -sc 'map(.outcome) | unique')" '["draining"]'
	assert_logs_clean
}

# How many threads the control plane's programs have in all.
threads() {
	local pid
	for pid in $(pid_of tunneld) $(pgrep -P "$(pid_of fcgi-app)"); do sed -n 's/^Threads:\t//p' "/proc/$pid/status"; done | awk '{ n += $1 } END { print n }'
}

@test "a thousand streams at once with a key nobody has used yet all open, take no thread, and hear of a change" {
	stack_new nginx
	stack_config limits.streams_per_tenant 1000
	stack_config limits.stream_keepalive_ms 60000 # so that no write tells the daemon that a reader is gone
	stack_up
	worker_up fintech
	local before line said
	before=$(threads)
	coproc MANY { API_KEY=$(mint_key t_fintech) /usr/bin/python3 "$REPO/tests/e2e/lib/streams.py" listen "$URL/mcp/fintech" 1000 2>&1; }
	exec {said}<&"${MANY[0]}" # bash closes its own when the program ends, read or not
	read -r -t 150 line <&"$said"
	assert_equal "$line" '{"200": 1000}'
	assert streams_are 1000
	assert_equal "$(threads)" "$before"
	stop worker-fintech
	read -r -t 150 line <&"$said"
	assert_equal "$line" 1000
	exec {said}<&-
	wait_until streams_are 0
	assert_logs_clean
}

@test "what is no request for a stream is refused, and a ticket is good for nobody else" {
	stack_with nginx
	run curl -sS -w '\n%{http_code}' -H "Authorization: Bearer $KEY" -H 'Accept: application/json' "$URL/mcp/fintech"
	assert_line 406
	run curl -sS -w '\n%{http_code}' -H "Authorization: Bearer $KEY" -H 'Accept: text/event-stream' -H 'MCP-Protocol-Version: 2026-07-28' "$URL/mcp/fintech"
	assert_line 405
	run curl -sS -w '\n%{http_code}' -H 'Accept: text/event-stream' "$URL/mcp/fintech"
	assert_line 401
	run curl -sS -w '\n%{http_code}' "$URL/.airlock/listen/aaaaaaaaaaaaaaaaaaaaaaaaaa"
	assert_line 404
	run curl -sS -w '\n%{http_code}' --unix-socket "$RUN/listen.sock" http://airlock/.airlock/listen/aaaaaaaaaaaaaaaaaaaaaaaaaa
	assert_line 404
	run mcp fintech "$KEY" "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"subscriptions/listen\",\"params\":{\"_meta\":$META,\"notifications\":[]}}" \
		-H 'MCP-Protocol-Version: 2026-07-28' -H 'Mcp-Method: subscriptions/listen'
	assert_output --partial '"code":-32602'
	assert_line 400
}
