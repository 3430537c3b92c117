# A server that others wrote, put behind the tunnel as docs/worker.md says: over stdio, and over Streamable HTTP with its
# sessions. It speaks the older era only.

load lib/stack.bash

EVERYTHING=$REPO/tests/node_modules/@modelcontextprotocol/server-everything/dist/index.js

setup_file() {
	local port
	stack_new
	stack_up
	port=$(free_port)
	start everything env "PORT=$port" "$NODE" "$EVERYTHING" streamableHttp
	wait_until curl -sS -o /dev/null "http://127.0.0.1:$port/mcp"
	worker_of_upstreams hr everything <<YAML
  - {name: pipe, command: ["$NODE", "$EVERYTHING", stdio]}
  - {name: web, url: "http://127.0.0.1:$port/mcp"}
YAML
	KEY=$(mint_key t_hr)
	export KEY
}

teardown_file() {
	stack_down
	stop everything
}

legacy() { # METHOD PARAMS: the answer's JSON in $ANSWER
	run mcp hr "$KEY" "$(jq -cn --arg m "$1" --argjson p "$2" '{jsonrpc:"2.0",id:1,method:$m,params:$p}')"
	assert_line --index 1 200
	ANSWER=${lines[0]}
}

modern() { # METHOD PARAMS
	local name body
	name=$(jq -r '.name // .uri // empty' <<<"$2")
	body=$(jq -cn --arg m "$1" --argjson p "$2" '{jsonrpc:"2.0",id:1,method:$m,params:($p + {_meta:{
		"io.modelcontextprotocol/protocolVersion":"2026-07-28",
		"io.modelcontextprotocol/clientCapabilities":{sampling:{},elicitation:{},roots:{}}}})}')
	run mcp hr "$KEY" "$body" -H 'MCP-Protocol-Version: 2026-07-28' -H "Mcp-Method: $1" ${name:+-H "Mcp-Name: $name"}
	assert_line --index 1 200
	ANSWER=${lines[0]}
}

@test "both offer the same tools, each under its prefix" {
	legacy tools/list '{}'
	assert_equal "$(jq -c '[.result.tools[].name] | map(select(startswith("pipe_")) | .[5:]) | sort' <<<"$ANSWER")" \
		"$(jq -c '[.result.tools[].name] | map(select(startswith("web_")) | .[4:]) | sort' <<<"$ANSWER")"
	assert_equal "$(jq '[.result.tools[].name] | index("pipe_get-sum") != null' <<<"$ANSWER")" true
}

@test "tools answer clients of both eras" {
	local server
	for server in pipe web; do
		legacy tools/call "{\"name\":\"${server}_get-sum\",\"arguments\":{\"a\":2,\"b\":3}}"
		assert_equal "$(jq -r '.result.content[0].text' <<<"$ANSWER")" 'The sum of 2 and 3 is 5.'
		modern tools/call "{\"name\":\"${server}_get-sum\",\"arguments\":{\"a\":2,\"b\":3}}"
		assert_equal "$(jq -c '[.result.resultType, .result.content[0].text]' <<<"$ANSWER")" '["complete","The sum of 2 and 3 is 5."]'
		modern tools/call "{\"name\":\"${server}_get-structured-content\",\"arguments\":{\"location\":\"Chicago\"}}"
		assert_equal "$(jq -c '.result.structuredContent | keys' <<<"$ANSWER")" '["conditions","humidity","temperature"]'
	done
}

@test "a modern client is asked for a model's answer" {
	local server params
	for server in pipe web; do
		params="{\"name\":\"${server}_trigger-sampling-request\",\"arguments\":{\"prompt\":\"hi\"}}"
		modern tools/call "$params"
		assert_equal "$(jq -c '[.result.resultType, (.result.inputRequests | map(.method))]' <<<"$ANSWER")" \
			'["input_required",["sampling/createMessage"]]'
		modern tools/call "$(jq -c --argjson a "$ANSWER" '. + {requestState: $a.result.requestState,
			inputResponses: ($a.result.inputRequests | map_values({role:"assistant",model:"m",content:{type:"text",text:"hello"}}))}' <<<"$params")"
		assert_equal "$(jq -c '.result.content[0].text | contains("hello")' <<<"$ANSWER")" true
	done
}

@test "progress of a long call comes as it goes" {
	local server
	for server in pipe web; do
		run mcp hr "$KEY" "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"_meta\":{\"progressToken\":\"p\"},
			\"name\":\"${server}_trigger-long-running-operation\",\"arguments\":{\"duration\":0.2,\"steps\":4}}}"
		assert_equal "$(sed -n 's/^data: //p' <<<"$output" | jq -c '[.method, .params.progressToken, .params.progress]' | head -n 4)" \
			"$(printf '["notifications/progress","p",%d]\n' 1 2 3 4)"
	done
}

@test "resources are read, prompts are got and completed" {
	modern resources/read '{"uri":"demo://resource/dynamic/text/7"}'
	assert_equal "$(jq -c '.result.contents[0] | [.uri, .mimeType]' <<<"$ANSWER")" '["demo://resource/dynamic/text/7","text/plain"]'
	modern prompts/get '{"name":"web_args-prompt","arguments":{"city":"Ghent"}}'
	assert_equal "$(jq -c '.result.messages[0].content.text | contains("Ghent")' <<<"$ANSWER")" true
	legacy completion/complete '{"ref":{"type":"ref/prompt","name":"pipe_completable-prompt"},"argument":{"name":"department","value":"E"}}'
	assert_equal "$(jq -c .result.completion.values <<<"$ANSWER")" '["Engineering"]'
}

@test "a task of the older era is followed to its result" {
	legacy tools/call '{"name":"pipe_simulate-research-query","arguments":{"topic":"tides"},"task":{"ttl":60000}}'
	local id
	id=$(jq -er .result.task.taskId <<<"$ANSWER")
	ACCEPT=application/json legacy tasks/result "{\"taskId\":\"$id\"}"
	assert_equal "$(jq -c '.result.content[0].text | contains("tides")' <<<"$ANSWER")" true
}

@test "no log holds a sanitizer's report" { assert_logs_clean; }
