# Pinned tools, and several workers of one tenant that do not list the same: servers whose tools change behind workers,
# through the whole stack. The daemons run with the default (warn) first, then with enforce.

load lib/stack.bash

TENANT=/v1/admin/tenants/t_pins

setup_file() {
	stack_new
	stack_up
	admin POST /v1/admin/tenants '{"slug":"pins","name":"Pins"}'
	tools_are one "$(tool alpha) $(tool beta)"
	plain_worker one
	wait_until sessions_are pins 1
	KEY=$(mint_key t_pins)
	export KEY
}

teardown_file() { stack_down; }

# tool NAME [TITLE]: its definition.
tool() { jq -cn --arg n "$1" --arg t "${2:-first}" '{name:$n,title:$t,description:"Does \($n).",inputSchema:{type:"object"}}'; }

# tools_are WORKER TOOLS: what the server behind that worker has, as a whole at once.
tools_are() {
	mkdir -p "$STACK/tools-$1"
	jq -cs . <<<"$2" >"$STACK/tools-$1.new"
	mv "$STACK/tools-$1.new" "$STACK/tools-$1/tools.json"
}

# plain_worker NAME [YAML of the upstream]: a worker without a database, in front of a server with the tools of that name.
plain_worker() {
	local dir=$STACK/workers/worker-$1 token
	mkdir -p "$dir"
	cat >"$dir/airlock.yaml" <<YAML
worker:
  name: $1
  state_dir: $dir/state
  data_dir: $dir/data
upstreams:
  - name: t
    prefix: ""
    command: ["$NODE", "$REPO/tests/e2e/lib/tools-server.mjs", "$STACK/tools-$1/tools.json"]
${2:-}
YAML
	token=$(admin POST "$TENANT/enrollments" "{\"name\":\"$1\"}" | jq -er .token) || return
	AIRLOCK_ENROLLMENT_TOKEN=$token "$BIN/airlock-worker" enroll --url "$URL" --config "$dir/airlock.yaml" \
		>>"$LOG/worker-$1.log" 2>&1
	plain_start "$1"
}

plain_start() { start "worker-$1" "$BIN/airlock-worker" run --config "$STACK/workers/worker-$1/airlock.yaml"; }

worker_id() { admin GET "$TENANT/workers" | jq -er --arg n "$1" '.workers[] | select(.name == $n) | .id'; }

tools_json() { admin GET "$TENANT/tools"; }
state_is() { [[ $(tools_json | jq -r --arg n "$1" '.tools[] | select(.name == $n) | .state') == "$2" ]]; }
title_is() { [[ $(tools_json | jq -r --arg n "$1" '.tools[] | select(.name == $n) | .title') == "$2" ]]; }
listed() { mcp pins "$KEY" '{"jsonrpc":"2.0","id":1,"method":"tools/list"}' | head -n 1 | jq -c '[.result.tools[].name] | sort'; }
listed_is() { [[ $(listed) == "$1" ]]; }

# call TOOL: body and status.
call() {
	mcp pins "$KEY" "$(jq -cn --arg n "$1" '{jsonrpc:"2.0",id:1,method:"tools/call",params:{name:$n,arguments:{}}}')"
}
called() { call "$1" | head -n 1 | jq -r '.result.content[0].text | fromjson | .title'; }

restart_with() { # PINNING
	stop fcgi-app
	stop tunneld
	rm -f "$RUN"/*.sock
	stack_config server.tool_pinning "$1"
	tunneld_up
	app_up
	wait_until healthy
	wait_until sessions_are pins "$2"
}

@test "tools are listed with fingerprints that anybody can make" {
	run tools_json
	assert_success
	assert_equal "$(jq -c '[.pinning, .live, [.tools[] | [.name, .state, .pinned_fingerprint]]]' <<<"$output")" \
		'["warn",true,[["alpha","new",null],["beta","new",null]]]'
	# As docs/tools.md says.
	assert_equal "$(jq -r '.tools[0].fingerprint' <<<"$output")" \
		"sha256:$(mcp pins "$KEY" '{"jsonrpc":"2.0","id":1,"method":"tools/list"}' | head -n 1 |
			jq -cSj '.result.tools[] | select(.name == "alpha")
				| with_entries(select(.key | IN("annotations", "description", "inputSchema", "name", "outputSchema", "title")))' |
			sha256sum | cut -d ' ' -f 1)"
	assert_equal "$(admin GET "$TENANT/tools?limit=1" | jq -c '[.next_cursor, (.tools | length)]')" '["alpha",1]'
	assert_equal "$(admin GET "$TENANT/tools?limit=1&cursor=alpha" | jq -c '[.next_cursor, .tools[0].name]')" '[null,"beta"]'
}

@test "a tool is pinned once, and the log says by whom and to what" {
	run ctl tool pin pins alpha --json
	assert_success
	assert_equal "$(jq -c . <<<"$output")" '{"pinned":["alpha"],"unchanged":0}'
	run ctl tool pin pins alpha --json
	assert_equal "$(jq -c . <<<"$output")" '{"pinned":[],"unchanged":1}'
	assert_equal "$(audit_rows '.event == "tool.pin"' | jq -c '[.tenant_id, .actor_kind, .tool, .target, .outcome]')" \
		'["t_pins","operator","alpha","alpha","ok"]'
	assert_equal "$(audit_rows '.event == "tool.pin"' | jq -r .change.fingerprint)" \
		"$(tools_json | jq -r '.tools[0].pinned_fingerprint')"
	run ctl tool list pins
	assert_line --regexp '^alpha +pinned +- +sha256:'
	assert_line --regexp '^beta +new +- +sha256:'
	run ctl tool list pins --quiet
	assert_output $'alpha\nbeta'
}

@test "what can't be pinned is refused" {
	run admin POST "$TENANT/tools/pins" '{"tool":"nothing"}'
	assert_output --partial '"code":"not_found"'
	run admin POST "$TENANT/tools/pins" '{}'
	assert_output --partial 'tool is needed'
	run admin POST "$TENANT/tools/pins" '{"tool":"alpha","all":true}'
	assert_failure
	run admin POST "$TENANT/tools/pins" '{"tool":"alpha","fingerprint":"sha256:0"}'
	assert_output --partial '"code":"invalid_field"'
	run admin POST "$TENANT/tools/pins" "{\"tool\":\"alpha\",\"fingerprint\":\"sha256:$(printf '%064d' 0)\"}"
	assert_output --partial '"code":"conflict"'
	run admin DELETE "$TENANT/tools/pins?tool=beta"
	assert_output --partial '"code":"not_found"'
	run admin DELETE "$TENANT/tools/pins"
	assert_output --partial '"code":"invalid_field"'
	run ctl tool pin pins
	assert_equal "$status" 2
	run ctl tool pin pins alpha --all
	assert_equal "$status" 2
	run ctl tool unpin pins beta
	assert_equal "$status" 1
}

@test "with warn a change is logged, audited once and shown, and the tool goes on" {
	tools_are one "$(tool alpha other) $(tool beta)"
	wait_until state_is alpha changed
	wait_until audit_count_is '.event == "tool.changed"' 1
	assert_equal "$(audit_rows '.event == "tool.changed"' | jq -c '[.tenant_id, .actor_kind, .tool, .worker_id]')" \
		"[\"t_pins\",\"worker\",\"alpha\",\"$(worker_id one)\"]"
	run grep -c 'the tool alpha is no longer what was pinned' "$LOG/tunneld.log"
	assert_output 1
	run grep -h 'lists other tools than before' "$LOG/tunneld.log"
	assert_output --partial '1 changed (alpha)'
	assert_equal "$(called alpha)" other
	assert_equal "$(listed)" '["alpha","beta"]'
	run ctl tool show pins alpha
	assert_line --regexp '^state +changed'
	assert_line -- '- title: "first"'
	assert_line -- '+ title: "other"'

	# The same again, by a worker that comes back, is no news: what is written behind it shows that it was looked at.
	stop worker-one
	plain_start one
	wait_until sessions_are pins 1
	tools_are one "$(tool alpha third) $(tool beta)"
	wait_until audit_count_is '.event == "tool.changed"' 2
	run grep -c 'the tool alpha is no longer what was pinned' "$LOG/tunneld.log"
	assert_output 2
}

@test "pinning anew approves what was seen, and nothing else" {
	local seen
	seen=$(tools_json | jq -r '.tools[0].fingerprint')
	tools_are one "$(tool alpha fourth) $(tool beta)"
	wait_until title_is alpha fourth
	run ctl tool pin pins alpha --fingerprint "$seen"
	assert_failure 1
	assert_output --partial 'another one by now'
	run ctl tool pin pins alpha --fingerprint "$(tools_json | jq -r '.tools[0].fingerprint')"
	assert_success
	assert_equal "$(audit_rows '.event == "tool.pin"' | tail -n 1 | jq -r '.change | has("before")')" true
	state_is alpha pinned
}

@test "a pin is made once however often it is tried with one key, and is another org's nothing" {
	run ctl tool pin pins beta --idempotency-key k-1 --json
	assert_equal "$(jq -c .pinned <<<"$output")" '["beta"]'
	run ctl tool pin pins beta --idempotency-key k-1 --json
	assert_equal "$(jq -c .pinned <<<"$output")" '["beta"]'
	assert_equal "$(audit_count '.event == "tool.pin" and .tool == "beta"')" 1

	local secret token now
	secret=$(sed -n 's/^AIRLOCK_SESSION_SECRET=//p' "$STACK/env")
	now=$(date +%s)
	b64() { openssl base64 -A | tr '+/' '-_' | tr -d =; }
	token=$(printf '{"alg":"HS256","typ":"JWT"}' | b64).$(printf '{"sub":"eve","org":"o_other","role":"admin","iat":%s,"exp":%s}' "$now" $((now + 600)) | b64)
	token=$token.$(printf %s "$token" | openssl dgst -sha256 -hmac "$secret" -binary | b64)
	for path in tools 'tools/definition?tool=alpha'; do
		run curl -sS -o /dev/null -w '%{http_code}' -H "Authorization: Bearer $token" "$URL$TENANT/$path"
		assert_output 404
	done
	run curl -sS -o /dev/null -w '%{http_code}' -H "Authorization: Bearer $token" -X DELETE "$URL$TENANT/tools/pins?all=true"
	assert_output 404
	run curl -sS -o /dev/null -w '%{http_code}' -H "Authorization: Bearer $token" -H 'Content-Type: application/json' \
		-d '{"all":true}' "$URL$TENANT/tools/pins"
	assert_output 404
	state_is beta pinned
}

@test "a tool that no worker lists any more is gone, and can be unpinned" {
	tools_are one "$(tool alpha fourth)"
	wait_until state_is beta gone
	run ctl tool show pins beta --json
	assert_equal "$(jq -c '[.definition, (.pinned_definition | fromjson | .name)]' <<<"$output")" '[null,"beta"]'
	run ctl tool unpin pins beta
	assert_success
	assert_equal "$(tools_json | jq -c '[.tools[].name]')" '["alpha"]'
	wait_until audit_count_is '.event == "tool.unpin" and .tool == "beta"' 1
	tools_are one "$(tool alpha fourth) $(tool beta)"
	wait_until state_is beta new
}

@test "with enforce a changed tool is not listed, and a call to it is refused and written down" {
	restart_with enforce 1
	assert_equal "$(listed)" '["alpha","beta"]'
	assert_equal "$(called alpha)" fourth
	curl -sSN -m 60 -o "$STACK/stream" -H "Authorization: Bearer $KEY" -H 'Accept: text/event-stream' "$URL/mcp/pins" 2>/dev/null 3>&- &
	local stream=$!
	wait_until audit_count_is '.event == "stream.open"' 1

	tools_are one "$(tool alpha fifth) $(tool beta)"
	wait_until listed_is '["beta"]'
	run ctl tool list pins
	assert_line --regexp '^alpha +changed +yes +sha256:'
	run call alpha
	assert_line --index 1 403
	assert_equal "$(jq -c '[.error.code, .error.data.code]' <<<"${lines[0]}")" '[-32051,"tool_changed"]'
	wait_until audit_count_is '.event == "tool.call" and .tool == "alpha" and .outcome == "denied" and .target == "tool_changed"' 1
	assert_equal "$(called beta)" first
	run curl -sS "http://127.0.0.1:$METRICS_PORT/metrics"
	assert_line 'airlock_cp_refused_total{reason="tool_changed"} 1'

	# Approved, it is there at once, and agents are told.
	wait_until grep -q tools/list_changed "$STACK/stream"
	: >"$STACK/stream"
	ctl tool pin pins alpha
	assert_equal "$(called alpha)" fifth
	assert_equal "$(listed)" '["alpha","beta"]'
	wait_until grep -q tools/list_changed "$STACK/stream"
	kill "$stream"
}

@test "unpinning lets a changed tool through as well" {
	tools_are one "$(tool alpha sixth) $(tool beta)"
	wait_until listed_is '["beta"]'
	ctl tool unpin pins --all
	assert_equal "$(called alpha)" sixth
	assert_equal "$(listed)" '["alpha","beta"]'
	assert_equal "$(tools_json | jq -c '[.tools[].state]')" '["new","new"]'
	ctl tool pin pins --all
	assert_equal "$(tools_json | jq -c '[.tools[].state]')" '["pinned","pinned"]'
}

@test "of several workers the newest is listed, the difference is logged by name and shown" {
	tools_are two "$(tool alpha other) $(tool gamma)"
	plain_worker two
	wait_until sessions_are pins 2
	wait_until listed_is '["gamma"]'
	run grep "worker $(worker_id two) (t_pins) lists other tools than $(worker_id one)" "$LOG/tunneld.log"
	assert_line --partial '1 added (gamma), 1 gone (beta), 1 changed (alpha)'
	run ctl worker list pins --json
	assert_equal "$(jq -c 'map({(.name): [.tools, .manifest, .differs.extra, .differs.missing, .differs.changed]}) | add' <<<"$output" | jq -cS .)" \
		'{"one":[2,"other",["beta"],["gamma"],["alpha"]],"two":[2,"newest",null,null,null]}'
	run ctl worker list pins
	assert_line --regexp 'one .*online.* other '
	assert_line --regexp 'two .*online.* newest '
	assert_equal "$(tools_json | jq -c '[.tools[] | [.name, .state, (.differs_on | length)]]')" \
		'[["alpha","changed",1],["beta","gone",0],["gamma","new",0]]'
}

@test "with enforce a pinned tool is called at the worker where it still is what was pinned" {
	for _ in 1 2 3 4; do
		assert_equal "$(called alpha)" sixth
		assert_equal "$(called beta)" first
	done
	stop worker-one
	wait_until sessions_are pins 1
	tools_are one "$(tool alpha sixth) $(tool delta)"
	run call alpha
	assert_line --index 1 403
	run call beta
	assert_line --index 1 403
	assert_equal "$(called gamma)" first
}

@test "of a worker that comes back with other tools the log tells too" {
	plain_start one
	wait_until sessions_are pins 2
	wait_until grep -q "worker $(worker_id one) (t_pins) lists other tools than before, .*: 1 added (delta), 1 gone (beta)" "$LOG/tunneld.log"
	stop worker-one
	wait_until sessions_are pins 1
	wait_until listed_is '["gamma"]'
	wait_until grep -q "worker $(worker_id two) (t_pins) lists other tools than $(worker_id one), .*: 1 added (gamma), 1 gone (delta), 1 changed (alpha)" \
		"$LOG/tunneld.log"
}

@test "while no worker is connected, lists are known and filtered all the same" {
	stop worker-two
	wait_until sessions_are pins 0
	run tools_json
	assert_equal "$(jq -c '[.live, [.tools[] | [.name, .state]]]' <<<"$output")" \
		'[false,[["alpha","changed"],["beta","gone"],["gamma","new"]]]'
	run listed
	assert_output '["gamma"]'
	run call alpha
	assert_line --index 1 503
}

@test "an export of the state keeps the pins" {
	run ctl state export
	assert_success
	assert_output --partial 'tool_pins:'
	assert_output --partial '\"title\":\"sixth\"'
}

@test "nothing failed in the background" {
	assert_logs_clean
}
