# Every rule of the MCP endpoint, one table (clients/rules.mjs), behind both web servers.

load lib/stack.bash

setup_file() {
	stack_new nginx
	stack_up
	second_front caddy
	worker_of_upstreams hr fixture <<YAML
  - {name: fix, prefix: "", command: ["$NODE", "$REPO/tests/conformance/fixture.mjs"]}
YAML
	AIRLOCK_API_KEY=$(mint_key t_hr)
	OTHER_KEY=$(mint_key t_fintech)
	LIMITED_KEY=$(mint_key t_hr '"tools":["test_simple_text"]')
	PUBLIC_URL=$URL
	export AIRLOCK_API_KEY OTHER_KEY LIMITED_KEY PUBLIC_URL
}

teardown_file() { stack_down; }

assert_rules() { # URL
	run "$NODE" "$BATS_TEST_DIRNAME/clients/rules.mjs" "$1/mcp/hr" "$OTHER_KEY" "$LIMITED_KEY"
	assert_success
	assert_output '139 rules kept'
}

@test "the table of rules, behind nginx" { assert_rules "$URL"; }
@test "the table of rules, behind Caddy" { assert_rules "$URL2"; }

@test "no log holds a sanitizer's report" { assert_logs_clean; }
