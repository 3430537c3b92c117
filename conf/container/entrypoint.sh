#!/usr/bin/env bash
# The container's first process: starts the three programs, passes SIGTERM on, and ends when one of them ends, so
# that the container is started anew as a whole.
set -euo pipefail

umask 027
work=/run/airlock/front
mkdir -p /tmp/airlock "$work"
rm -f "$work/nginx.pid"
/usr/share/airlock/render-front nginx --listen all --port 8080 --run-dir /run/airlock --www /usr/share/airlock/www \
	--work-dir "$work" --access-log /dev/stdout >"$work/nginx.conf"

airlock-tunneld &
tunneld=$!
airlock-fcgi-app &
app=$!
nginx -c "$work/nginx.conf" -p "$work" -e stderr -g 'daemon off;' &
front=$!

# Both daemons finish the calls in flight; nginx goes last, since it carries the answers. Until its pid file is there,
# nginx does not listen to SIGQUIT, which a shell makes its background jobs ignore; nor is there anything to finish.
finish() {
	local goodbye=QUIT
	kill -TERM "$tunneld" "$app" 2>/dev/null || true
	wait "$tunneld" "$app" || true
	[[ -s $work/nginx.pid ]] || goodbye=TERM
	kill -s "$goodbye" "$front" 2>/dev/null || true
	wait "$front" || true
}

stopping=''
trap 'stopping=1' TERM INT
status=0
wait -n || status=$?
if [[ -z $stopping ]]; then
	echo "airlock-container: a program ended with status $status; stopping the others" >&2
	finish
	exit 1
fi
finish
