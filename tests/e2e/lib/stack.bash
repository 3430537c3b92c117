# A private control plane for one test file: state, sockets, front and workers in a
# directory of its own, on a free port, ended by recorded pid.
#
#   stack_new [front]       make the directory and the configuration; nothing runs yet
#   stack_config KEY VALUE  set a key of config.yaml ("limits.call_timeout_ms" 1500)
#   stack_env NAME=VALUE    set an environment variable of the daemons
#   stack_up                start tunneld, fcgi-app and the front; return when /health says ok
#   worker_up TENANT [NAME] enroll and run a worker on demo data; return when it is connected
#   small_disk OPTIONS      mount a small file system at $DISK
#   stack_down              end everything

REPO=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
BUILD=${AIRLOCK_BUILD:-$REPO/build}
BIN=$BUILD/bin
NODE=$REPO/tests/node_modules/.bin/node

bats_load_library() { load "/usr/lib/bats/$1/load.bash"; }
bats_load_library bats-support
bats_load_library bats-assert
bats_load_library bats-file

# Waits in steps of 20 ms until a command succeeds; fails with its name after SECONDS (default 30).
wait_until() {
	local limit=30 deadline
	if [[ $1 =~ ^[0-9]+$ ]]; then
		limit=$1
		shift
	fi
	deadline=$((SECONDS + limit))
	until "$@" >/dev/null 2>&1; do
		if ((SECONDS >= deadline)); then
			echo "gave up after ${limit} s waiting for: $*" >&2
			return 1
		fi
		pause
	done
}

# A pause without a process: reads from a pipe that nobody writes to.
pause() {
	local unused
	if [[ -z ${PAUSE_FD:-} ]]; then
		exec {PAUSE_FD}<> <(:)
	fi
	read -rt 0.02 -u "$PAUSE_FD" unused || true
}

# A port that nobody listens on and that this run of bats has not given out before.
free_port() {
	local port
	for _ in $(seq 50); do
		port=$((20000 + RANDOM % 10000))
		if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && mkdir "$BATS_RUN_TMPDIR/port-$port" 2>/dev/null; then
			echo "$port"
			return
		fi
	done
	return 1
}

stack_new() {
	FRONT=${1:-${FRONT:-nginx}}
	STACK=$(mktemp -d "${BATS_FILE_TMPDIR:-$BATS_TEST_TMPDIR}/stack.XXXXXX")
	chmod 711 "$STACK"
	PORT=$(free_port)
	METRICS_PORT=$(free_port)
	URL=http://localhost:$PORT
	STATE=$STACK/state
	RUN=$STACK/run
	LOG=$STACK/log
	AUDIT=$STATE/audit.jsonl
	mkdir -p "$STATE" "$RUN" "$LOG" "$STACK/workers"
	OPERATOR_TOKEN=$(head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n')
	STACK_ENV=(
		"PATH=$PATH" "HOME=$STACK"
		"AIRLOCK_CP_OPERATOR_TOKEN=$OPERATOR_TOKEN"
		"AIRLOCK_CP_PUBLIC_URL=$URL"
		"AIRLOCK_CP_ALLOW_LOCALHOST_PUBLIC_URL=true"
		"AIRLOCK_SESSION_SECRET=$(head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n')"
		"AIRLOCK_CP_CONFIG=$STATE/config.yaml"
		"AIRLOCK_CP_SNAPSHOT_DIR=$STATE/snapshots"
		"AIRLOCK_CP_METRICS_PORT=$METRICS_PORT"
		"AIRLOCK_DEMO_TENANT_REGISTER=true"
	)
	cp "$REPO/conf/config.example.yaml" "$STATE/config.yaml"
	stack_config server.cp_private_key_path "$STATE/cp_ed25519.pem"
	stack_config server.audit_log_path "$AUDIT"
	stack_config server.run_dir "$RUN"
	stack_env
	export STACK PORT METRICS_PORT URL STATE RUN LOG AUDIT OPERATOR_TOKEN FRONT
}

# The environment lives in a file: a test runs in another process than setup_file.
stack_env() {
	[[ $# == 0 ]] || mapfile -t STACK_ENV <"$STACK/env"
	STACK_ENV+=("$@")
	printf '%s\n' "${STACK_ENV[@]}" >"$STACK/env"
}

# Rewrites one "key:" line inside its section.
stack_config() {
	local section=${1%%.*} key=${1#*.} value=$2 file=$STATE/config.yaml
	awk -v section="$section:" -v key="$key:" -v value="$value" '
		/^[a-z_]+:/ { inside = ($1 == section) }
		inside && $1 == key { print "  " key " " value; done = 1; next }
		{ print }
		END { exit !done }' "$file" >"$file.new" || {
		echo "no key $1 in config.example.yaml" >&2
		return 1
	}
	mv "$file.new" "$file"
}

# Starts a program in the background with the stack's environment; its pid goes into $STACK/NAME.pid.
start() {
	local name=$1
	shift
	mapfile -t STACK_ENV <"$STACK/env"
	env -i "${STACK_ENV[@]}" "$@" >>"$LOG/$name.log" 2>&1 3>&- 4>&- &
	echo $! >"$STACK/$name.pid"
}

pid_of() { cat "$STACK/$1.pid"; }

stop() {
	local name=$1 signal=${2:-TERM} pid
	[[ -f $STACK/$name.pid ]] || return 0
	pid=$(pid_of "$name")
	kill "-$signal" "$pid" 2>/dev/null || true
	wait_until 40 gone "$pid" || {
		kill -KILL "$pid" 2>/dev/null || true
		return 1
	}
	rm -f "$STACK/$name.pid"
}

# Gone means reaped or a zombie of ours.
gone() { ! kill -0 "$1" 2>/dev/null || [[ $(ps -o stat= -p "$1") == Z* ]]; }

tunneld_up() {
	start tunneld "$BIN/airlock-tunneld"
	wait_until test -S "$RUN/dispatch.sock"
}

app_up() {
	start fcgi-app "$BIN/airlock-fcgi-app"
	wait_until test -S "$RUN/fcgi.sock"
}

front_up() { # [NAME]
	local name=${1:-front} dir
	dir=$STACK/$name
	mkdir -p "$dir"
	"$REPO/scripts/render-front" "$FRONT" --port "$PORT" --run-dir "$RUN" --www "$REPO/www" \
		--work-dir "$dir" >"$dir/conf"
	front_start "$name"
}

# With the configuration that lies there, as it was made or changed since.
front_start() { # [NAME]
	local name=${1:-front} dir
	dir=$STACK/$name
	case $FRONT in
	nginx) start "$name" nginx -c "$dir/conf" -p "$dir" -e "$LOG/$name.log" -g 'daemon off;' ;;
	caddy) start "$name" env XDG_CONFIG_HOME="$dir" XDG_DATA_HOME="$dir" \
		caddy run --adapter caddyfile --config "$dir/conf" ;;
	esac
}

# second_front caddy|nginx: another web server before the same control plane, at $URL2.
second_front() {
	local FRONT=$1 PORT
	PORT=$(free_port)
	export URL2=http://localhost:$PORT
	front_up front2
	wait_until curl -fsS -m 2 "$URL2/health"
}

healthy() { [[ $(curl -fsS -m 2 "$URL/health") == ok ]]; }

stack_up() {
	tunneld_up
	app_up
	front_up
	wait_until healthy || {
		tail -n 20 "$LOG"/*.log >&2
		return 1
	}
}

stack_down() {
	local name pidfile
	[[ -n ${STACK:-} && -d $STACK ]] || return 0
	for pidfile in "$STACK"/worker-*.pid; do
		[[ -f $pidfile ]] || continue
		name=$(basename "$pidfile" .pid)
		kill -CONT "$(cat "$pidfile")" 2>/dev/null || true
		stop "$name" || true
	done
	stop front2 || true
	stop front || true
	stop fcgi-app || true
	stop tunneld || true
}

# A file system of its own at $DISK, with options such as size=8m,nr_inodes=100; fails where mounting is not allowed.
# small_disk_end, for teardown, takes it away.
small_disk() {
	DISK=$STACK/disk
	mkdir -p "$DISK"
	mount -t tmpfs -o "mode=700,$1" tmpfs "$DISK" 2>/dev/null || {
		DISK=
		return 1
	}
}
# The state goes to such a one, before anything runs.
state_on_disk() { # OPTIONS
	small_disk "$1" || return
	mv "$STATE" "$DISK/state"
	ln -s "$DISK/state" "$STATE"
}
needs_small_disk() { small_disk "$1" || skip "mounting a small tmpfs is not allowed here"; }
small_disk_end() { [[ -z ${DISK:-} ]] || umount "$DISK"; }

# Sanitizer reports and crashes must not hide in a log.
assert_logs_clean() {
	run grep -lE 'AddressSanitizer|runtime error:|LeakSanitizer|assertion|Segmentation' -r "$LOG"
	assert_failure 1
}

# A process's environment as text; nothing where only root may look (programs that keep secrets are not dumpable).
environ_of() {
	[[ $EUID == 0 || -r /proc/$1/environ ]] || return 0
	tr '\0' '\n' <"/proc/$1/environ" 2>/dev/null || [[ $EUID != 0 ]]
}

# --- HTTP -------------------------------------------------------------------

# admin METHOD PATH [JSON]: body on stdout, status in $STATUS (use with "run" or directly).
admin() {
	local method=$1 path=$2 body=${3:-}
	local args=(-sS -m 30 -X "$method" -H "Authorization: Bearer $OPERATOR_TOKEN" -w '\n%{http_code}')
	[[ -z $body ]] || args+=(-H 'Content-Type: application/json' --data-binary "$body")
	local out
	out=$(curl "${args[@]}" "$URL$path") || return
	STATUS=${out##*$'\n'}
	BODY=${out%$'\n'*}
	printf '%s\n' "$BODY"
	[[ $STATUS == 2* ]]
}

# airlockctl as on the machine of the control plane, with the daemons' environment; NAME=VALUE words first change it.
ctl() {
	local changed=()
	while [[ $1 == *=* ]]; do
		changed+=("$1")
		shift
	done
	mapfile -t STACK_ENV <"$STACK/env"
	env -i "${STACK_ENV[@]}" "${changed[@]}" "$BIN/airlockctl" "$@"
}

# preload NAME: PRELOAD becomes the variables that a program needs to run with tests/crash/NAME.c.
preload() { PRELOAD=("LD_PRELOAD=$BUILD/test/$1.so" ASAN_OPTIONS=verify_asan_link_order=0); }

# amidst NAME FUNCTION COMMAND PROGRAM...: the program, as start() runs it, waits before its first call of that function
# (tests/crash/step.c) until the command is through. Its status.
amidst() {
	local name=$1 at=$2 meanwhile=$3
	shift 3
	preload step
	start "$name" env "${PRELOAD[@]}" STOP_AT="$at" "$@"
	wait_until is_stopped "$name"
	"$meanwhile"
	kill -CONT "$(pid_of "$name")"
	wait "$(pid_of "$name")"
}
is_stopped() { [[ $(ps -o stat= -p "$(pid_of "$1")") == T* ]]; }

# Mints an API key for a tenant and prints it: mint_key t_fintech [extra JSON members]
mint_key() {
	admin POST "/v1/admin/tenants/$1/keys" "{\"name\":\"test\"${2:+,$2}}" | jq -er .key
}

# The same key with another last letter, and so another secret. The last of 52 letters bears one bit,
# a or q, so it can't be this one by chance.
wrong_key() { printf '%sz' "${1%?}"; }

# A session token as somebody who has the secret makes it: session ORG ROLE
session() {
	local secret head body key
	secret=$(sed -n 's/^AIRLOCK_SESSION_SECRET=//p' "$STACK/env")
	head=$(printf '{"alg":"HS256","typ":"JWT"}' | b64url)
	body=$(printf '{"sub":"ann","org":"%s","role":"%s","iat":%d,"exp":%d}' "$1" "$2" "$EPOCHSECONDS" $((EPOCHSECONDS + 600)) | b64url)
	key=$(printf %s "$secret" | od -An -tx1 | tr -d ' \n')
	printf '%s.%s.%s' "$head" "$body" \
		"$(printf '%s.%s' "$head" "$body" | openssl dgst -sha256 -mac HMAC -macopt "hexkey:$key" -binary | b64url)"
}
b64url() { openssl base64 -A | tr '+/' '-_' | tr -d =; }

# mcp SLUG KEY JSON [curl args]: one legacy POST; body on stdout, then the status on a line of its own. ACCEPT says what
# the agent takes, both forms unless it is set.
mcp() {
	local slug=$1 key=$2 body=$3
	shift 3
	curl -sS -m 60 -w '\n%{http_code}\n' -H "Authorization: Bearer $key" -H 'Content-Type: application/json' \
		-H "Accept: ${ACCEPT:-application/json, text/event-stream}" --data-binary "$body" "$@" "$URL/mcp/$slug"
}

sql_call() { # SUBJECT SQL [id]
	jq -cn --arg s "$1" --arg q "$2" --argjson id "${3:-1}" \
		'{jsonrpc:"2.0",id:$id,method:"tools/call",params:{name:"execute_sql",arguments:{subject_id:$s,sql:$q}}}'
}

# What the files of the audit log hold, closed ones too, as one log.
log_lines() {
	local file files=()
	for file in "${AUDIT%.jsonl}"-0*.jsonl*; do
		case $file in
		*.jsonl) files+=("$file") ;;
		*.jsonl.zst) [[ -e ${file%.zst} ]] || files+=("$file") ;;
		esac
	done
	[[ -z ${files[*]} ]] || zstd -dcfq -- "${files[@]}"
	cat "$AUDIT"
}

# The audit rows that match a jq condition, one a line.
audit_rows() { log_lines | jq -c "select($1)"; }
audit_count() { audit_rows "$1" | wc -l; }
audit_count_is() { [[ $(audit_count "$1") == "$2" ]]; }

# --- workers -----------------------------------------------------------------

demo_data() {
	DATA=${BATS_RUN_TMPDIR}/demo-data
	if [[ ! -f $DATA/.done ]]; then
		"$BIN/airlock-demo-data" --out "$DATA" >/dev/null
		touch "$DATA/.done"
	fi
}

# worker_enroll SLUG [NAME]: directory, airlock.yaml, identity.
worker_enroll() {
	local slug=$1 name=worker-${2:-$1} dir token
	dir=$STACK/workers/$name
	mkdir -p "$dir"
	{
		cat "$REPO/demo/$slug.yaml"
		printf '\nworker:\n  name: %s\n  state_dir: %s/state\n  data_dir: %s/data\n' "$name" "$dir" "$dir"
	} >"$dir/airlock.yaml"
	token=$(admin POST "/v1/admin/tenants/t_$slug/enrollments" "{\"name\":\"$name\"}" | jq -er .token) || return
	AIRLOCK_ENROLLMENT_TOKEN=$token "$BIN/airlock-worker" enroll --url "$URL" --config "$dir/airlock.yaml" \
		>>"$LOG/$name.log" 2>&1
}

worker_start() { # SLUG [NAME] [--verbose]
	local slug=$1 name=worker-$1 verbose=()
	[[ ${*: -1} != --verbose ]] || verbose=(--verbose)
	[[ ${2:---} == --* ]] || name=worker-$2
	demo_data
	start "$name" env "DATABASE_URL=sqlite:$DATA/$slug.db" \
		"$BIN/airlock-worker" run "${verbose[@]}" --config "$STACK/workers/$name/airlock.yaml"
}

sessions_of() { curl -fsS -m 5 "$URL/v1/tenants" | jq -er --arg s "$1" '.tenants[] | select(.slug == $s) | .sessions'; }
sessions_are() { [[ $(sessions_of "$1") == "$2" ]]; }

worker_up() { # SLUG [NAME]
	local before
	before=$(sessions_of "$1")
	worker_enroll "$@" && worker_start "$@" && wait_until sessions_are "$1" $((before + 1)) || {
		tail -n 20 "$LOG"/*.log >&2
		return 1
	}
}

# worker_of_upstreams SLUG NAME: a worker without a database, with the `upstreams:` list that standard input gives.
worker_of_upstreams() {
	local slug=$1 name=worker-$2 dir before
	dir=$STACK/workers/$name
	before=$(sessions_of "$slug")
	worker_enroll "$slug" "$2" || return
	printf 'worker:\n  name: %s\n  state_dir: %s/state\n  data_dir: %s/data\nupstreams:\n' "$name" "$dir" "$dir" \
		>"$dir/airlock.yaml"
	cat >>"$dir/airlock.yaml"
	start "$name" "$BIN/airlock-worker" run --config "$dir/airlock.yaml"
	wait_until sessions_are "$slug" $((before + 1)) || {
		tail -n 20 "$LOG"/*.log >&2
		return 1
	}
}

first_subject() { # SLUG: any subject of the demo data
	demo_data
	local table column
	table=$(sed -n 's/^root_table: *//p' "$REPO/demo/$1.yaml")
	column=$(sed -n 's/^root_filter_col: *//p' "$REPO/demo/$1.yaml")
	sqlite3 "$DATA/$1.db" "SELECT ${column:-id} FROM $table ORDER BY 1 LIMIT 1"
}
