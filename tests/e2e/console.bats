# The console's audit page in a real browser.

load lib/stack.bash

setup_file() {
	stack_new
	stack_up
	for _ in $(seq 60); do
		mint_key t_fintech >/dev/null
	done
}

teardown_file() { stack_down; }

@test "an operator signs in, watches, filters, opens a row, exports and signs out" {
	mkdir -p "$STACK/shots"
	run "$NODE" "$REPO/tests/e2e/clients/console.mjs" "$URL" "$OPERATOR_TOKEN" "${CONSOLE_SHOTS:-$STACK/shots}"
	assert_success
	assert_line 'signed out for good'
}

@test "the page has no script or style of its own, and may load none from elsewhere" {
	run grep -nE '<script>|<style| style=| on[a-z]+=' "$REPO/www/audit.html"
	assert_failure
	run curl -sS -D - -o /dev/null "$URL/audit.html"
	assert_output --partial "Content-Security-Policy: default-src 'self'"
	assert_logs_clean
}
