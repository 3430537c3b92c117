# What `make install` puts in place: everything is there, and runs with the packages of [runtime] alone.

load lib/stack.bash

setup_file() {
	OUT=$BATS_FILE_TMPDIR/out
	make -s -C "$REPO" BUILD="$BUILD" install DESTDIR="$OUT" PREFIX=/usr
	export OUT
}

PROGRAMS=(/usr/bin/airlockctl /usr/bin/airlock-worker /usr/sbin/airlock-tunneld /usr/sbin/airlock-fcgi-app)

@test "the programs and a manual page for each" {
	local program name
	for program in "${PROGRAMS[@]}"; do
		name=$(basename "$program")
		run "$OUT$program" --version
		assert_output --regexp "^$name [0-9]+\\.[0-9]+\\.[0-9]+$"
		run compgen -G "$OUT/usr/share/man/man[18]/$name.[18]"
		assert_success
		run grep -cE "^\\.(Nm|B) $name|^$name \\\\-" "$output"
		assert_success
	done
	assert_exists "$OUT/usr/share/bash-completion/completions/airlockctl"
	assert_exists "$OUT/usr/share/airlock/config.example.yaml"
	assert_exists "$OUT/usr/share/airlock/www/index.html"
}

@test "both fronts' configurations hold the installed paths, and nginx takes the site" {
	run cat "$OUT/usr/share/airlock/nginx-airlock.conf" "$OUT/usr/share/airlock/Caddyfile"
	assert_output --partial /usr/share/airlock/www
	refute_output --partial "$OUT"
	local dir=$BATS_TEST_TMPDIR/nginx
	mkdir -p "$dir"
	sed "s#/var/log/nginx/#$dir/#" "$OUT/usr/share/airlock/nginx-airlock.conf" >"$dir/site"
	local kind
	{
		printf 'pid %s/pid;\nevents {}\nhttp {\n' "$dir"
		for kind in client_body proxy fastcgi uwsgi scgi; do
			printf '%s_temp_path %s/%s;\n' "$kind" "$dir" "$kind"
		done
		printf 'include %s/site;\n}\n' "$dir"
	} >"$dir/conf"
	run nginx -t -c "$dir/conf" -p "$dir" -e "$dir/error.log"
	assert_success
}

@test "each library that a program needs is of a package in [runtime]" {
	[[ $BUILD != */san ]] || skip 'a sanitizer needs libraries of its own'
	local listed program lib path package
	listed=" $(sed -n '/^\[runtime\]/,/^\[/p' "$REPO/packages.txt" | grep -v '^[[#]' | tr '\n' ' ')libc6 "
	for program in "${PROGRAMS[@]}"; do
		for lib in $(readelf -d "$OUT$program" | sed -n 's/.*NEEDED.*\[\(.*\)\]/\1/p'); do
			path=$(ldd "$OUT$program" | awk -v lib="$lib" '$1 == lib { print $3 }')
			[[ -n $path ]] || continue # the loader itself
			package=$(dpkg-query -S "$(realpath "$path")" 2>/dev/null || dpkg-query -S "${path#/usr}" "/usr$path" 2>/dev/null | head -n 1)
			package=${package%%:*}
			[[ $listed == *" $package "* ]] || fail "$lib of $program is of $package"
		done
	done
}
