# The official conformance suite, whole, against a server at the far end of a tunnel. The server is the fixture, which
# passes everything when nothing is in between (tests/conformance/run.sh --direct).
#
#   FRONT     nginx or caddy
#   UPSTREAM  how the worker reaches the fixture: stdio, as a child process; http, at a URL

load lib/stack.bash

fixture_up() { # nginx|caddy stdio|http
	local server
	stack_new "$1"
	stack_up
	case $2 in
	stdio) server="command: [\"$NODE\", \"$REPO/tests/conformance/fixture.mjs\"]" ;;
	http)
		start fixture "$NODE" "$REPO/tests/conformance/http-front.mjs"
		wait_until grep -q '^http' "$LOG/fixture.log"
		server="url: \"$(grep -m 1 '^http' "$LOG/fixture.log")\""
		;;
	*)
		echo "UPSTREAM is stdio or http, not '$2'" >&2
		return 1
		;;
	esac
	worker_of_upstreams hr fixture <<<"  - {name: fix, prefix: \"\", $server}"
	AIRLOCK_API_KEY=$(mint_key t_hr)
	RESULTS=${AIRLOCK_CONFORMANCE_RESULTS:-$BATS_FILE_TMPDIR/results}
	export AIRLOCK_API_KEY RESULTS
}

# The daemon goes first: it ends the streams that the suite has left open, which Caddy would wait for.
fixture_down() {
	stop tunneld
	stack_down
	stop fixture
}

# The suite takes any text for an answer, so all results are compared with what they have to be.
assert_exact() { # ERA COUNT
	run "$NODE" "$REPO/tests/conformance/exact.mjs" "$1" "$URL/mcp/hr"
	assert_success
	assert_output "$2 exact"
}

assert_conforms() { # REVISION REQUIRED
	run "$REPO/tests/conformance/run.sh" --revision "$1" --results "$RESULTS" --shim 0 "$URL/mcp/hr"
	assert_success
	assert_output --regexp "^$1: $2/$2 required, [1-9][0-9]* passed, 0 failed$"
}
