# The crash campaign (tests/crash/campaign.py): a short one here; SOAK_CRASHES and SOAK_SECONDS make it long (`make soak`).

load lib/stack.bash

setup() {
	stack_new nginx
	stack_config audit.min_free_bytes 0
	stack_config audit.checkpoint_rows 50
	stack_config audit.rotate_bytes 1000000
	stack_config audit.compress false # the campaign reads the lines
	stack_config limits.call_timeout_ms 5000
}

teardown() {
	stack_down
	small_disk_end
}

# The state on a small volume of its own, where that is allowed.
small_volume() {
	small_disk size=256m || return 0
	mv "$STATE" "$DISK/state"
	ln -s "$DISK/state" "$STATE"
}

@test "processes killed, stopped and starved under load: each answer has its row, and nothing acknowledged is lost" {
	small_volume
	stack_up
	worker_enroll fintech
	demo_data
	KEY=$(mint_key t_fintech '"rate_per_minute":0')
	SUBJECT=$(first_subject fintech)
	stack_down
	export BIN KEY SUBJECT DISK FAULT_SO=$BUILD/test/fault.so FAULT_CONTROL=$STACK/fault DATABASE_URL=sqlite:$DATA/fintech.db
	local status=0
	/usr/bin/python3 "$REPO/tests/crash/campaign.py" --crashes "${SOAK_CRASHES:-12}" --seconds "${SOAK_SECONDS:-60}" \
		--seed "${SOAK_SEED:-$RANDOM}" >"$STACK/report" 2>&1 || status=$?
	cat "$STACK/report"
	[[ -z ${SOAK_CRASHES:-} ]] || sed 's/^/# /' "$STACK/report" >&3
	assert_equal "$status" 0
	mapfile -t STACK_ENV <"$STACK/env"
	run env -i "${STACK_ENV[@]}" "$BIN/airlockctl" audit verify
	assert_success
	assert_equal "$(sqlite3 "$STATE/state.db" 'PRAGMA integrity_check')" ok
	assert_logs_clean
}
