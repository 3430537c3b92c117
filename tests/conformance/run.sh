#!/usr/bin/env bash
# Runs the pinned MCP conformance suite against a server, in both eras, with everything it has: the required
# scenarios, the unscored ones and the tasks extension.
#
#   run.sh URL               a server that needs no key
#   run.sh --shim PORT URL   one that does: a proxy on 127.0.0.1:PORT (0 picks one) adds AIRLOCK_API_KEY
#   run.sh --direct          the fixture itself, behind nothing but http-front.mjs
#
# --revision R runs that one alone; --results DIR keeps the suite's files, and the score, in DIR/REVISION. Prints one
# line per revision; status 0 only when all required scenarios pass and nothing fails that is not in
# expected-failures.yml.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
node=$here/../node_modules/.bin/node
suite=$here/../node_modules/@modelcontextprotocol/conformance/dist/index.js
expected=$here/expected-failures.yml
limit_s=300

usage() {
	sed -n '5,7s/^# *//p' "${BASH_SOURCE[0]}" >&2
	exit 2
}

helper=
scratch=
# shellcheck disable=SC2317 # reached by the trap
cleanup() {
	if [ -n "$helper" ]; then
		kill "$helper" 2>/dev/null || true
		wait "$helper" 2>/dev/null || true
	fi
	if [ -n "$scratch" ]; then
		rm -rf "$scratch"
	fi
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# start COMMAND...: runs a helper and takes the URL that it prints once it listens.
start() {
	coproc HELPER { exec "$@"; }
	helper=$HELPER_PID
	if ! read -r -t 10 url <&"${HELPER[0]}"; then
		echo "run.sh: $(basename "$2") did not start" >&2
		exit 1
	fi
}

url=
shim=
direct=
results=
revisions=(2025-11-25 2026-07-28)
while [ $# -gt 0 ]; do
	case $1 in
	--shim) shim=${2:?port} && shift 2 ;;
	--results) results=${2:?directory} && shift 2 ;;
	--revision) revisions=("${2:?revision}") && shift 2 ;;
	--direct) direct=1 && shift ;;
	-*) usage ;;
	*)
		[ -z "$url" ] || usage
		url=$1 && shift
		;;
	esac
done
if [ -n "$direct" ]; then
	[ -z "$url$shim" ] || usage
	start "$node" "$here/http-front.mjs"
elif [ -z "$url" ]; then
	usage
elif [ -n "$shim" ]; then
	start "$node" "$here/shim.mjs" "$shim" "$url"
fi

if [ -z "$results" ]; then
	scratch=$(mktemp -d)
	results=$scratch
fi

status=0
for revision in "${revisions[@]}"; do
	out=$results/$revision
	rm -rf "$out"
	mkdir -p "$out/scenarios"
	suite_status=0
	timeout "$limit_s" "$node" "$suite" server --url "$url" --requirements "$revision" \
		--expected-failures "$expected" -o "$out/scenarios" >"$out/log" 2>&1 || suite_status=$?
	score_status=0
	"$node" "$here/score.mjs" "$out/scenarios" "$revision" "$expected" >"$out/score" || score_status=$?
	cat "$out/score"
	if [ "$suite_status" -ne 0 ] && [ "$score_status" -eq 0 ]; then
		echo "$revision: the suite itself ended with status $suite_status" >&2
		tail -n 5 "$out/log" >&2
	fi
	if [ "$suite_status" -ne 0 ] || [ "$score_status" -ne 0 ]; then
		status=1
	fi
done
exit "$status"
