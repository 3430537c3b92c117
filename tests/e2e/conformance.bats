# The conformance suite behind nginx, of a server that is the worker's child process; `make conformance` may choose others.

load lib/conformance.bash

setup_file() { fixture_up "${FRONT:-nginx}" "${UPSTREAM:-stdio}"; }
teardown_file() { fixture_down; }

@test "every tool, resource and prompt gives exactly its result, legacy" { assert_exact legacy 58; }
@test "every tool, resource and prompt gives exactly its result, modern" { assert_exact modern 78; }

@test "the suite of 2025-11-25" { assert_conforms 2025-11-25 30; }
@test "the suite of 2026-07-28, with the tasks extension" { assert_conforms 2026-07-28 37; }

@test "no log holds a sanitizer's report" { assert_logs_clean; }
