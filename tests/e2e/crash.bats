# The crash campaign (tests/crash/campaign.py): a short one here; SOAK_CRASHES and SOAK_SECONDS make it long (`make soak`).

load lib/stack.bash

setup() {
	stack_new nginx
	stack_config audit.min_free_bytes 0
	stack_config audit.checkpoint_rows 50
	# Files are closed, archived, compressed and shortened all the time. With an odd seed old ones are deleted too; with an
	# even one those that were shortened are still there at the end.
	SEED=${SOAK_SEED:-$RANDOM}
	CRASHES=${SOAK_CRASHES:-20}
	ARCHIVE=$STACK/archive
	mkdir "$ARCHIVE"
	cat >"$STACK/archive.sh" <<-END
		# Of a file that is there already it takes the same again, and nothing else. While a disk fails, so does this one.
		[ ! -e "$STACK/fault" ] || exit 1
		[ ! -e "$ARCHIVE/\$2" ] || exec cmp "\$1" "$ARCHIVE/\$2"
		cp "\$1" "$ARCHIVE/.\$2.part" && mv "$ARCHIVE/.\$2.part" "$ARCHIVE/\$2"
	END
	stack_config audit.archive_command "sh $STACK/archive.sh %p %f"
	stack_config audit.rotate_bytes 150000
	((SEED % 2 == 0)) || stack_config audit.keep_bytes $((150000 + CRASHES * 20000))
	stack_config audit.stream_keepalive_ms 1000
	stack_config limits.call_timeout_ms 5000
}

teardown() {
	stack_down
	small_disk_end
}

@test "processes killed, stopped and starved under load: each answer has its row, and nothing acknowledged is lost" {
	# Where that is not allowed, without full disks.
	state_on_disk size=256m || true
	stack_up
	worker_enroll fintech
	demo_data
	KEY=$(mint_key t_fintech '"rate_per_minute":0')
	SUBJECT=$(first_subject fintech)
	stack_down
	openssl pkey -in "$STATE/cp_ed25519.pem" -pubout -out "$STACK/cp.pem"
	export BIN KEY SUBJECT DISK ARCHIVE FAULT_SO=$BUILD/test/fault.so CLOCK_SO=$BUILD/test/clock.so FAULT_CONTROL=$STACK/fault DATABASE_URL=sqlite:$DATA/fintech.db
	local status=0
	/usr/bin/python3 -B "$REPO/tests/crash/campaign.py" --crashes "$CRASHES" --seconds "${SOAK_SECONDS:-180}" \
		--seed "$SEED" >"$STACK/report" 2>&1 || status=$?
	cat "$STACK/report"
	[[ -z ${SOAK_CRASHES:-} ]] || sed 's/^/# /' "$STACK/report" >&3
	assert_equal "$status" 0
	assert_equal "$(sqlite3 "$STATE/state.db" 'PRAGMA integrity_check')" ok
	assert_equal "$(sqlite3 "$STATE/audit-index.db" 'PRAGMA integrity_check')" ok
	assert_logs_clean
}
