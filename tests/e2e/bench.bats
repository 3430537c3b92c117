# The benchmark still works: a run that is too short to say anything about speed.

load lib/stack.bash

@test "make bench QUICK=1 measures every line, writes the ratios, and leaves nothing running" {
	run env BUILD="$BUILD" QUICK=1 "$REPO/scripts/bench"
	assert_success
	refute_output --partial 'NOT 2xx'
	local name
	for name in relay64_ram_of_ceiling relay64_disk_of_ceiling relay64_vs_starlette cpu_per_call_vs_starlette \
		added_p50_of_ceiling bytes_1mib_of_ceiling tunnel_own_bytes idle_cp_mib export10k_of_copy warm100_added_ms audit_rows_of_limit audit_verify_of_sha256sum \
		index_longest_page_ms; do
		run jq -e --arg name "$name" '.[$name] | numbers' "$BUILD/bench/quick/summary.json"
		assert_success
	done
	run jq -r '.lines | keys | join(" ")' "$BUILD/bench/quick/raw.json"
	assert_output 'audit cold growth index payload profile relay tunnels worker'
	run pgrep -f "^$BUILD/bench/bin/"
	assert_failure 1
	assert_not_exists "$BUILD/bench/quick/run"
}
