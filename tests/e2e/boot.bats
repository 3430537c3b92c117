# Configuration and first boot: what is refused and how, and what a kill or a race leaves.

load lib/stack.bash

setup() {
	stack_new
	mapfile -t STACK_ENV <"$STACK/env"
}

teardown() { stack_down; }

# Runs a daemon with the stack's environment changed: NAME= unsets.
check_config() {
	local env=("${STACK_ENV[@]}" "$@")
	run timeout 20 env -i "${env[@]}" "$BIN/airlock-tunneld" -t
}

@test "without a public URL the daemons refuse, with the guide's hint" {
	check_config AIRLOCK_CP_PUBLIC_URL= AIRLOCK_CP_ALLOW_LOCALHOST_PUBLIC_URL=false
	assert_failure
	assert_output --partial AIRLOCK_CP_PUBLIC_URL
	assert_output --partial AIRLOCK_CP_ALLOW_LOCALHOST_PUBLIC_URL=true
}

@test "a local public URL is refused without the override" {
	local url
	for url in http://localhost:8080 https://127.0.0.1 https://[::1]/ http://x.localhost; do
		check_config AIRLOCK_CP_PUBLIC_URL="$url" AIRLOCK_CP_ALLOW_LOCALHOST_PUBLIC_URL=false
		assert_failure
		assert_output --partial AIRLOCK_CP_ALLOW_LOCALHOST_PUBLIC_URL=true
	done
}

@test "without an operator token the daemons refuse and say how to make one" {
	check_config AIRLOCK_CP_OPERATOR_TOKEN=
	assert_failure
	assert_output --partial AIRLOCK_CP_OPERATOR_TOKEN
	assert_output --partial 'openssl rand -hex 32'
}

@test "the operator token also comes from a file" {
	printf '%s\n' 0123456789abcdef0123456789abcdef >"$STACK/token"
	check_config AIRLOCK_CP_OPERATOR_TOKEN= AIRLOCK_CP_OPERATOR_TOKEN_FILE="$STACK/token"
	assert_success
}

@test "a number out of range is refused with its range" {
	check_config AIRLOCK_CP_METRICS_PORT=70000
	assert_failure
	assert_output --partial AIRLOCK_CP_METRICS_PORT
	assert_output --partial 65535
}

@test "an unknown variable is a warning; Kubernetes' own stay silent" {
	check_config AIRLOCK_CP_PUBLIK_URL=x AIRLOCK_CP_SERVICE_HOST=10.0.0.1 AIRLOCK_CP_PORT_8080_TCP=tcp://10.0.0.1:8080
	assert_success
	assert_output --partial AIRLOCK_CP_PUBLIK_URL
	refute_output --partial AIRLOCK_CP_SERVICE_HOST
	refute_output --partial AIRLOCK_CP_PORT_8080_TCP
}

@test "a mistyped key of config.yaml names file, line and the nearest right key" {
	printf 'server:\n  audit_log_pth: /x\n' >"$STATE/config.yaml"
	check_config
	assert_failure
	assert_output --partial config.yaml:2
	assert_output --partial audit_log_path
}

@test "first boot makes config, key, database, snapshots and journal, the key for its owner alone" {
	rm "$STATE/config.yaml"
	printf 'server:\n  cp_private_key_path: %s\n  audit_log_path: %s\n  run_dir: %s\n' "$STATE/cp_ed25519.pem" "$AUDIT" "$RUN" >"$STATE/config.yaml"
	tunneld_up
	local made
	for made in cp_ed25519.pem state.db snapshots audit.jsonl; do
		assert_exists "$STATE/$made"
	done
	assert_equal "$(stat -c %a "$STATE/cp_ed25519.pem")" 600
	run openssl pkey -in "$STATE/cp_ed25519.pem" -noout -text
	assert_output --partial ED25519
}

@test "config.yaml is seeded from the example when it is not there" {
	mkdir -p "$STACK/fresh"
	env -i "${STACK_ENV[@]}" AIRLOCK_CP_CONFIG="$STACK/fresh/config.yaml" "$BIN/airlock-tunneld" -t
	run cmp "$STACK/fresh/config.yaml" "$REPO/conf/config.example.yaml"
	assert_success
}

@test "the demo tenants are registered, and are not when told so" {
	stack_up
	run admin GET /v1/admin/tenants
	assert_equal "$(jq -c '[.tenants[].id]' <<<"$output")" '["t_fintech","t_healthcare","t_hr"]'
	stack_down
	stack_new
	stack_env AIRLOCK_DEMO_TENANT_REGISTER=false
	stack_up
	run admin GET /v1/admin/tenants
	assert_output '{"tenants": []}'
}

@test "two daemons booting at once make one key and one database" {
	local first second
	tunneld_up &
	first=$!
	app_up &
	second=$!
	# By number: bats has a child of its own, which counts the test's time.
	wait "$first" "$second"
	front_up
	wait_until healthy
	local key
	key=$(sha256sum <"$STATE/cp_ed25519.pem")
	stop fcgi-app
	stop tunneld
	rm -f "$RUN"/*.sock
	tunneld_up
	app_up
	wait_until healthy
	assert_equal "$(sha256sum <"$STATE/cp_ed25519.pem")" "$key"
}

@test "a kill at any instant of the first boot leaves nothing half-written" {
	local i pauses
	for i in $(seq 25); do
		rm -rf "$STATE/state.db"* "$STATE/cp_ed25519.pem" "$STATE/snapshots" "$AUDIT" "$RUN"/*.sock
		start tunneld "$BIN/airlock-tunneld"
		pauses=$((RANDOM % 5)); while ((pauses-- > 0)); do pause; done
		kill -KILL "$(pid_of tunneld)" 2>/dev/null || true
		wait_until gone "$(pid_of tunneld)"
		if [[ -e $STATE/cp_ed25519.pem ]]; then
			openssl pkey -in "$STATE/cp_ed25519.pem" -noout
		fi
		rm -f "$RUN"/*.sock
		tunneld_up
		stop tunneld
		assert_equal "$(sqlite3 "$STATE/state.db" 'PRAGMA integrity_check')" ok
	done
}

@test "a kill before any step of the first boot leaves nothing behind" {
	local step survived=
	preload step
	up_or_gone() { gone "$(pid_of tunneld)" || [[ -S $RUN/dispatch.sock ]]; }
	for ((step = 1; step < 100 && !survived; step++)); do
		rm -rf "$STATE/state.db"* "$STATE/cp_ed25519.pem" "$STATE/snapshots" "$AUDIT" "$RUN"/*.sock
		start tunneld env "${PRELOAD[@]}" KILL_BEFORE="$step" "$BIN/airlock-tunneld"
		wait_until up_or_gone
		if [[ -S $RUN/dispatch.sock ]]; then
			survived=1
			stop tunneld
		else
			tunneld_up
			stop tunneld
		fi
		assert_equal "$(find "$STATE" -name '*.tmp.*')" ''
	done
	[[ $survived ]]
	((step > 2))
}

@test "both daemons check the configuration and start nothing" {
	local daemon
	for daemon in airlock-tunneld airlock-fcgi-app; do
		run timeout 20 env -i "${STACK_ENV[@]}" "$BIN/$daemon" -t
		assert_success
		assert_output --partial 'the configuration is'
		run timeout 20 env -i "${STACK_ENV[@]}" AIRLOCK_CP_METRICS_PORT=x "$BIN/$daemon" -t
		assert_failure
		assert_output --partial AIRLOCK_CP_METRICS_PORT
	done
	assert_not_exists "$STATE/state.db"
	assert_not_exists "$STATE/cp_ed25519.pem"
}

@test "the programs say their version and their usage" {
	local program
	for program in airlock-tunneld airlock-fcgi-app airlock-worker airlockctl; do
		run "$BIN/$program" --version
		assert_success
		assert_output --regexp '[0-9]+\.[0-9]+\.[0-9]+'
		run "$BIN/$program" --help
		assert_success
		assert_output --regexp "[Uu]sage"
	done
}
