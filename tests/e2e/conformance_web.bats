# The conformance suite with every other part of the way exchanged: behind Caddy, of a server that the worker reaches over
# HTTP. (bridge.bats compares that server's results one by one.)

load lib/conformance.bash

setup_file() { fixture_up caddy http; }
teardown_file() { fixture_down; }

@test "the suite of 2025-11-25, behind Caddy, over HTTP" { assert_conforms 2025-11-25 30; }
@test "the suite of 2026-07-28, with the tasks extension, behind Caddy, over HTTP" { assert_conforms 2026-07-28 37; }

@test "no log holds a sanitizer's report" { assert_logs_clean; }
