# The state as YAML: what a control plane of the original form kept comes over at the first start, works, and leaves again.

load lib/stack.bash

# As another program's Argon2 library wrote it, at another cost: argon2id, 64 MiB, 3 passes, 4 lanes.
FOREIGN_SECRET=Q2FycmllZC1vdmVyLWZyb20tYW5vdGhlci1tYWNoaW5l
# shellcheck disable=SC2016 # the dollars are the hash's
FOREIGN_HASH='$argon2id$v=19$m=65536,t=3,p=4$YS1zYWx0LW9mLTE2LWJ5dA$genWqF4m26ixocgTatvhAt9rFHpet71sOkzGBZ8T2WQ'
FOREIGN_KEY=alk_from-before_$FOREIGN_SECRET

# Once a worker is enrolled, the volume is as the original's was: configuration, the control plane's key, state.yaml.
setup() {
	stack_new nginx
	stack_env AIRLOCK_DEMO_TENANT_REGISTER=false "AIRLOCK_CP_STATE_PATH=$STATE/state.yaml"
	stack_up
	admin POST /v1/admin/tenants '{"slug":"fintech","name":"F"}' >/dev/null
	worker_enroll fintech
	export_to "$STACK/first.yaml"
	WORKER_KEY=$(sed -n 's/.*public_key: *//p' "$STACK/first.yaml")
	WORKER_ID=$(sed -n 's/.*\(w_[a-z0-9]*\).*/\1/p' "$STACK/first.yaml" | head -n 1)
	daemons_down
	new_volume
}

teardown() { stack_down; }

daemons_up() {
	tunneld_up
	app_up
	wait_until healthy
}

daemons_down() {
	stop fcgi-app
	stop tunneld
}

export_to() {
	ctl state export --out "$1"
}

# An empty volume with the same configuration and key.
new_volume() {
	rm -rf "$STACK/old"
	mv "$STATE" "$STACK/old"
	mkdir "$STATE"
	cp -p "$STACK/old/config.yaml" "$STACK/old/cp_ed25519.pem" "$STATE"
}

originals_state() {
	cat <<YAML
tenants:
  - id: t_fintech
    slug: fintech
    name: Fintech of before
    api_keys:
      - id: from-before
        name: agent
        hash: "$FOREIGN_HASH"
        created_at: "2025-03-04T05:06:07.890123+00:00"
    workers:
      - id: $WORKER_ID
        public_key: $WORKER_KEY
        name: db1
YAML
}

serves() { # what the key of before is good for, first checked and then remembered
	worker_start fintech
	wait_until sessions_are fintech 1
	local _
	for _ in 1 2; do
		run mcp fintech "$FOREIGN_KEY" "$(sql_call "$(first_subject fintech)" 'SELECT 1 AS one')"
		assert_line --index 1 200
		assert_output --partial '\"rows\":[[1]]'
	done
	run mcp fintech "${FOREIGN_KEY%?}X" '{"jsonrpc":"2.0","id":1,"method":"ping"}'
	assert_line 401
	stop worker-fintech
}

@test "tenants, keys and workers of before serve on, and so do those of an export" {
	originals_state >"$STATE/state.yaml"
	daemons_up
	serves
	assert_equal "$(audit_rows '.event == "state.import"' | jq -c '[.actor_kind, .outcome, .change]')" \
		'["system","ok",{"tenants":1,"api_keys":1,"workers":1}]'
	assert_equal "$(admin GET /v1/admin/tenants | jq -c '[.tenants[] | [.id, .name]]')" '[["t_fintech","Fintech of before"]]'
	refute grep -rF "$FOREIGN_SECRET" "$LOG" "$AUDIT"
	refute grep -rF "$FOREIGN_HASH" "$LOG" "$AUDIT"

	export_to "$STACK/exported.yaml"
	assert_equal "$(stat -c %a "$STACK/exported.yaml")" 600
	run cat "$STACK/exported.yaml"
	assert_output --partial "$FOREIGN_HASH"
	assert_output --partial '2025-03-04T05:06:07.000Z'
	daemons_down

	new_volume
	cp "$STACK/exported.yaml" "$STATE/state.yaml"
	daemons_up
	serves
	export_to "$STACK/again.yaml"
	run cmp "$STACK/exported.yaml" "$STACK/again.yaml"
	assert_success

	# The file is read once: what was decided since stands.
	admin DELETE /v1/admin/tenants/t_fintech/keys/from-before >/dev/null
	daemons_down
	daemons_up
	run mcp fintech "$FOREIGN_KEY" '{"jsonrpc":"2.0","id":1,"method":"ping"}'
	assert_line 401
	assert_equal "$(audit_count '.event == "state.import"')" 1
	assert_logs_clean
}

@test "a mistake stops the start, is named with its line, and imports nothing; mended, the file is taken" {
	originals_state | sed 's/public_key: .*/public_key: nonsense/' >"$STATE/state.yaml"
	start tunneld "$BIN/airlock-tunneld"
	wait_until gone "$(pid_of tunneld)"
	run cat "$LOG/tunneld.log"
	assert_output --partial 'state.yaml:11'
	assert_output --partial public_key
	assert_equal "$(sqlite3 "$STATE/state.db" 'SELECT count(*) FROM tenants' 2>/dev/null || echo 0)" 0

	originals_state >"$STATE/state.yaml"
	daemons_up
	serves
	assert_logs_clean
}

@test "a kill at any instant of the import leaves all of it or nothing, and the next start has all" {
	originals_state >"$STATE/state.yaml"
	local i pauses
	for i in $(seq 12); do
		start tunneld "$BIN/airlock-tunneld"
		pauses=$((RANDOM % 5)); while ((pauses-- > 0)); do pause; done
		kill -KILL "$(pid_of tunneld)" 2>/dev/null || true
		wait_until gone "$(pid_of tunneld)"
		run sqlite3 "$STATE/state.db" 'SELECT (SELECT count(*) FROM tenants) || (SELECT count(*) FROM api_keys) || (SELECT count(*) FROM workers)'
		[[ $status != 0 || $output == 000 || $output == 111 ]] || fail "half an import: $output"
		((i < 12)) || break # goes on from what the last kill left
		new_volume
		originals_state >"$STATE/state.yaml"
		rm -f "$RUN"/*.sock
	done
	rm -f "$RUN"/*.sock
	daemons_up
	serves
	assert_equal "$(audit_count '.event == "state.import"')" 1
}
