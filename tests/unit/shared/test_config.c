#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared/config.h"
#include "shared/config_example.h"
#include "shared/config_internal.h"
#include "shared/file.h"
#include "shared/mem.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define TOKEN "AIRLOCK_CP_OPERATOR_TOKEN=0123456789abcdef-token"
#define URL "AIRLOCK_CP_PUBLIC_URL=https://cp.example.com"
#define LOCAL "AIRLOCK_CP_ALLOW_LOCALHOST_PUBLIC_URL=true"

static struct config_error err;
static char *warnings;

/* Loads an environment; variables end with NULL. *c is to be cleared in any case. */
static enum rc load(struct config *c, ...)
{
	char *env[32];
	size_t n = 0;
	struct buf b;
	va_list ap;

	memset(c, 0, sizeof(*c));
	va_start(ap, c);
	while ((env[n] = va_arg(ap, char *)))
		assert_true(++n < COUNT(env));
	va_end(ap);
	buf_init(&b, 10000);
	memset(&err, 0, sizeof(err));
	enum rc rc = config_load_env(c, env, &b, &err);
	free(warnings);
	warnings = buf_steal(&b);
	return rc;
}

static void assert_contains(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("\"%s\" does not contain \"%s\"", text, part);
}

/* --- environment ------------------------------------------------------------ */

static void the_guides_defaults(void **state)
{
	struct config c;

	(void)state;
	assert_int_equal(load(&c, TOKEN, URL, NULL), RC_OK);
	assert_string_equal(warnings, "");
	assert_string_equal(c.operator_token, "0123456789abcdef-token");
	assert_null(c.session_secret);
	assert_string_equal(c.public_url, "https://cp.example.com");
	assert_string_equal(c.config_path, "/state/config.yaml");
	assert_null(c.state_path);
	assert_string_equal(c.snapshot_dir, "/state/snapshots");
	assert_int_equal(c.log_level, LOG_LEVEL_INFO);
	assert_int_equal(c.origin_count, 0);
	assert_int_equal(c.metrics_port, 9090);
	assert_int_equal(c.max_sessions_per_tenant, 8);
	assert_true(c.demo_tenants);
	assert_false(c.allow_localhost);
	config_clear(&c);
}

static void every_variable_is_read(void **state)
{
	struct config c;

	(void)state;
	assert_int_equal(
		load(&c, TOKEN, "AIRLOCK_CP_PUBLIC_URL=HTTPS://CP.Example.com:443/air/lock//",
			"AIRLOCK_SESSION_SECRET=an old secret of thirty-two bytes",
			"AIRLOCK_CP_CONFIG=/c.yaml", "AIRLOCK_CP_STATE_PATH=/s/x.db",
			"AIRLOCK_CP_SNAPSHOT_DIR=/snap", "AIRLOCK_CP_LOG_LEVEL=warning",
			"AIRLOCK_CP_ALLOWED_ORIGINS= https://A.example.com:443 "
			",,http://localhost:3000",
			"AIRLOCK_CP_METRICS_PORT=0", "AIRLOCK_CP_MAX_SESSIONS_PER_TENANT=100000",
			"AIRLOCK_DEMO_TENANT_REGISTER=off", NULL),
		RC_OK);
	assert_string_equal(warnings, "");
	assert_string_equal(c.public_url, "https://cp.example.com/air/lock");
	assert_string_equal(c.session_secret, "an old secret of thirty-two bytes");
	assert_string_equal(c.config_path, "/c.yaml");
	assert_string_equal(c.state_path, "/s/x.db");
	assert_string_equal(c.snapshot_dir, "/snap");
	assert_int_equal(c.log_level, LOG_LEVEL_WARN);
	assert_int_equal(c.origin_count, 2);
	assert_string_equal(c.origins[0], "https://a.example.com");
	assert_string_equal(c.origins[1], "http://localhost:3000");
	assert_int_equal(c.metrics_port, 0);
	assert_int_equal(c.max_sessions_per_tenant, 100000);
	assert_false(c.demo_tenants);
	config_clear(&c);
}

static void an_empty_variable_is_unset(void **state)
{
	struct config c;

	(void)state;
	assert_int_equal(
		load(&c, TOKEN, URL, "AIRLOCK_CP_LOG_LEVEL=", "AIRLOCK_CP_METRICS_PORT=",
			"AIRLOCK_CP_CONFIG=", "AIRLOCK_SESSION_SECRET=",
			"AIRLOCK_DEMO_TENANT_REGISTER=", "AIRLOCK_DEMO_TENANT_ENABLED=false", NULL),
		RC_OK);
	assert_int_equal(c.metrics_port, 9090);
	assert_string_equal(c.config_path, "/state/config.yaml");
	assert_null(c.session_secret);
	assert_false(c.demo_tenants);
	config_clear(&c);
	assert_int_equal(load(&c, "AIRLOCK_CP_OPERATOR_TOKEN=", URL, NULL), RC_INVALID);
	config_clear(&c);
}

static void the_new_name_of_the_demo_switch_wins(void **state)
{
	struct config c;

	(void)state;
	assert_int_equal(load(&c, TOKEN, URL, "AIRLOCK_DEMO_TENANT_ENABLED=false",
				 "AIRLOCK_DEMO_TENANT_REGISTER=true", NULL),
		RC_OK);
	assert_true(c.demo_tenants);
	config_clear(&c);
	assert_int_equal(load(&c, TOKEN, URL, "AIRLOCK_DEMO_TENANT_ENABLED=0", NULL), RC_OK);
	assert_false(c.demo_tenants);
	config_clear(&c);
}

static void public_url_rules(void **state)
{
	static const char hint[] =
		"; set it to a real HTTPS URL or, for local development only, set "
		"AIRLOCK_CP_ALLOW_LOCALHOST_PUBLIC_URL=true";
	static char *const local[] = {"AIRLOCK_CP_PUBLIC_URL=http://localhost:18080",
		"AIRLOCK_CP_PUBLIC_URL=https://LOCALHOST",
		"AIRLOCK_CP_PUBLIC_URL=https://127.0.0.1:8080",
		"AIRLOCK_CP_PUBLIC_URL=https://[::1]/x", "AIRLOCK_CP_PUBLIC_URL=https://0.0.0.0",
		"AIRLOCK_CP_PUBLIC_URL=https://cp.localhost",
		"AIRLOCK_CP_PUBLIC_URL=https://127.1"};
	static char *const bad[] = {"AIRLOCK_CP_PUBLIC_URL=cp.example.com",
		"AIRLOCK_CP_PUBLIC_URL=ftp://cp.example.com", "AIRLOCK_CP_PUBLIC_URL=https://",
		"AIRLOCK_CP_PUBLIC_URL=https:///x", "AIRLOCK_CP_PUBLIC_URL=https://:443",
		"AIRLOCK_CP_PUBLIC_URL=https://u:secret@cp.example.com",
		"AIRLOCK_CP_PUBLIC_URL=https://cp.example.com?x=1",
		"AIRLOCK_CP_PUBLIC_URL=https://cp.example.com/#x",
		"AIRLOCK_CP_PUBLIC_URL=https://cp.example.com:0",
		"AIRLOCK_CP_PUBLIC_URL=https://cp.example.com:65536",
		"AIRLOCK_CP_PUBLIC_URL=https://cp.example.com:",
		"AIRLOCK_CP_PUBLIC_URL=https://cp example.com",
		"AIRLOCK_CP_PUBLIC_URL=https://[::g]", "AIRLOCK_CP_PUBLIC_URL=https://[::1]x",
		"AIRLOCK_CP_PUBLIC_URL=https://cp.example.com/a b",
		"AIRLOCK_CP_PUBLIC_URL=https://cp.example.com/\"x",
		"AIRLOCK_CP_PUBLIC_URL=https://["};
	struct config c;

	(void)state;
	assert_int_equal(load(&c, TOKEN, NULL), RC_INVALID);
	assert_memory_equal(err.text, "AIRLOCK_CP_PUBLIC_URL is unset; ", 32);
	assert_contains(err.text, hint);
	config_clear(&c);
	for (size_t i = 0; i < COUNT(local); i++) {
		assert_int_equal(load(&c, TOKEN, local[i], NULL), RC_INVALID);
		assert_contains(err.text, "AIRLOCK_CP_PUBLIC_URL contains localhost");
		assert_contains(err.text, hint);
		config_clear(&c);
		assert_int_equal(load(&c, TOKEN, local[i], LOCAL, NULL), RC_OK);
		assert_string_equal(warnings, "");
		config_clear(&c);
	}
	for (size_t i = 0; i < COUNT(bad); i++) {
		assert_int_equal(load(&c, TOKEN, LOCAL, bad[i], NULL), RC_INVALID);
		assert_memory_equal(err.text, "AIRLOCK_CP_PUBLIC_URL ", 22);
		assert_null(strstr(err.text, "secret"));
		assert_null(c.public_url);
		config_clear(&c);
	}
	assert_int_equal(load(&c, TOKEN, LOCAL, NULL), RC_OK);
	assert_string_equal(c.public_url, "http://localhost:18080");
	config_clear(&c);
	assert_int_equal(
		load(&c, TOKEN, "AIRLOCK_CP_PUBLIC_URL=http://cp.example.com:8080/", NULL), RC_OK);
	assert_string_equal(c.public_url, "http://cp.example.com:8080");
	assert_contains(warnings, "AIRLOCK_CP_PUBLIC_URL is http, not https");
	config_clear(&c);
}

static void wrong_values_are_named(void **state)
{
	static const char *const bad[] = {"AIRLOCK_CP_LOG_LEVEL=LOUD",
		"AIRLOCK_CP_METRICS_PORT=65536", "AIRLOCK_CP_METRICS_PORT=-1",
		"AIRLOCK_CP_METRICS_PORT=90x", "AIRLOCK_CP_METRICS_PORT= 9090",
		"AIRLOCK_CP_METRICS_PORT=99999999999999999999",
		"AIRLOCK_CP_MAX_SESSIONS_PER_TENANT=0", "AIRLOCK_CP_MAX_SESSIONS_PER_TENANT=100001",
		"AIRLOCK_DEMO_TENANT_REGISTER=perhaps", "AIRLOCK_DEMO_TENANT_ENABLED=2",
		"AIRLOCK_CP_ALLOW_LOCALHOST_PUBLIC_URL=y", "AIRLOCK_CP_CONFIG=state/config.yaml",
		"AIRLOCK_CP_SNAPSHOT_DIR=.", "AIRLOCK_CP_STATE_PATH=state.db",
		"AIRLOCK_SESSION_SECRET=short-and-secret", "AIRLOCK_CP_ALLOWED_ORIGINS=*",
		"AIRLOCK_CP_ALLOWED_ORIGINS=https://a.example.com/",
		"AIRLOCK_CP_ALLOWED_ORIGINS=https://a.example.com,null",
		"AIRLOCK_CP_ALLOWED_ORIGINS=a.example.com"};

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		struct config c;
		char name[64];

		assert_true(str_copy_len(name, sizeof(name), bad[i], strcspn(bad[i], "=")));
		assert_int_equal(load(&c, TOKEN, URL, bad[i], NULL), RC_INVALID);
		assert_memory_equal(err.text, name, strlen(name));
		assert_null(strstr(err.text, "short-and-secret"));
		config_clear(&c);
	}
}

static void an_origin_of_star_is_explained(void **state)
{
	struct config c;

	(void)state;
	assert_int_equal(
		load(&c, TOKEN, URL, "AIRLOCK_CP_ALLOWED_ORIGINS=https://a.example.com,*", NULL),
		RC_INVALID);
	assert_contains(err.text, "any web page could");
	config_clear(&c);
}

static void too_many_origins(void **state)
{
	struct config c;
	char text[2000] = "AIRLOCK_CP_ALLOWED_ORIGINS=";

	(void)state;
	for (int i = 0; i < CONFIG_ORIGINS_MAX; i++)
		sprintf(text + strlen(text), "https://o%d.example.com,", i);
	assert_int_equal(load(&c, TOKEN, URL, text, NULL), RC_OK);
	assert_int_equal(c.origin_count, CONFIG_ORIGINS_MAX);
	config_clear(&c);
	strcat(text, "https://one.more");
	assert_int_equal(load(&c, TOKEN, URL, text, NULL), RC_INVALID);
	config_clear(&c);
}

static void operator_token_rules(void **state)
{
	struct config c;

	(void)state;
	assert_int_equal(load(&c, URL, NULL), RC_INVALID);
	assert_contains(err.text, "AIRLOCK_CP_OPERATOR_TOKEN is unset");
	assert_contains(err.text, "openssl rand -hex 32");
	config_clear(&c);
	assert_int_equal(
		load(&c, URL, "AIRLOCK_CP_OPERATOR_TOKEN=0123456789abcde", NULL), RC_INVALID);
	assert_contains(err.text, "16");
	assert_null(strstr(err.text, "0123456789abcde"));
	config_clear(&c);
	assert_int_equal(
		load(&c, URL, "AIRLOCK_CP_OPERATOR_TOKEN=0123456789 abcdef", NULL), RC_INVALID);
	config_clear(&c);
	assert_int_equal(load(&c, URL, "AIRLOCK_CP_OPERATOR_TOKEN=0123456789abcdef", NULL), RC_OK);
	config_clear(&c);
}

static void unknown_names_are_warned_of(void **state)
{
	struct config c;

	(void)state;
	assert_int_equal(
		load(&c, TOKEN, URL, "AIRLOCK_CP_LOGLEVEL=DEBUG", "AIRLOCK_CP_COLOUR=red",
			"PATH=/bin", "AIRLOCK_WORKER_X=1", "AIRLOCK_CP_METRIC_PORT=1", NULL),
		RC_OK);
	assert_string_equal(warnings,
		"AIRLOCK_CP_LOGLEVEL is not a variable of Airlock CP and is ignored; did you mean "
		"AIRLOCK_CP_LOG_LEVEL?\n"
		"AIRLOCK_CP_COLOUR is not a variable of Airlock CP and is ignored\n"
		"AIRLOCK_CP_METRIC_PORT is not a variable of Airlock CP and is ignored; did you "
		"mean "
		"AIRLOCK_CP_METRICS_PORT?\n");
	config_clear(&c);
}

static void kubernetes_names_are_silent(void **state)
{
	struct config c;

	(void)state;
	assert_int_equal(
		load(&c, TOKEN, URL, "AIRLOCK_CP_SERVICE_HOST=10.0.0.1",
			"AIRLOCK_CP_SERVICE_PORT=8080", "AIRLOCK_CP_SERVICE_PORT_HTTP=8080",
			"AIRLOCK_CP_PORT=tcp://10.0.0.1:8080",
			"AIRLOCK_CP_PORT_8080_TCP=tcp://10.0.0.1:8080",
			"AIRLOCK_CP_PORT_8080_TCP_PROTO=tcp",
			"AIRLOCK_CP_PORT_8080_TCP_ADDR=10.0.0.1",
			"AIRLOCK_CP_PORT_8080_TCP_PORT=8080",
			"AIRLOCK_CP_CONSOLE_SERVICE_HOST=10.0.0.2",
			"AIRLOCK_CP_CONSOLE_PORT=tcp://10.0.0.2:80",
			"AIRLOCK_CP_CONSOLE_PORT_80_TCP=tcp://10.0.0.2:80", NULL),
		RC_OK);
	assert_string_equal(warnings, "");
	config_clear(&c);
	/* A Service that happens to be called airlock-cp-metrics. */
	assert_int_equal(
		load(&c, TOKEN, URL, "AIRLOCK_CP_METRICS_PORT=tcp://10.0.0.1:9090", NULL), RC_OK);
	assert_int_equal(c.metrics_port, 9090);
	assert_contains(warnings, "AIRLOCK_CP_METRICS_PORT was set by Kubernetes");
	config_clear(&c);
}

/* --- secrets from files -------------------------------------------------------- */

static char dir[64];
static char path[100];

static int make_dir(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/test_config.XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/file", dir);
	return 0;
}

static int remove_dir(void **state)
{
	char command[100];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

static void put_file(const char *text, size_t len)
{
	assert_int_equal(file_write_atomic(path, text, len, 0600), RC_OK);
}

static void put_text(const char *text)
{
	put_file(text, strlen(text));
}

static void secrets_from_files(void **state)
{
	char token[160];
	char session[160];
	struct config c;

	(void)state;
	snprintf(token, sizeof(token), "AIRLOCK_CP_OPERATOR_TOKEN_FILE=%s", path);
	snprintf(session, sizeof(session), "AIRLOCK_SESSION_SECRET_FILE=%s", path);
	put_text("0123456789abcdef0123456789abcdef\r\n\n");
	assert_int_equal(load(&c, URL, token, session, NULL), RC_OK);
	assert_string_equal(warnings, "");
	assert_string_equal(c.operator_token, "0123456789abcdef0123456789abcdef");
	assert_string_equal(c.session_secret, "0123456789abcdef0123456789abcdef");
	config_clear(&c);
	assert_int_equal(load(&c, URL, TOKEN, token, NULL), RC_INVALID);
	assert_contains(err.text,
		"AIRLOCK_CP_OPERATOR_TOKEN and AIRLOCK_CP_OPERATOR_TOKEN_FILE are both set");
	config_clear(&c);
	put_text("\n");
	assert_int_equal(load(&c, URL, token, NULL), RC_INVALID);
	assert_contains(err.text, "is empty");
	config_clear(&c);
	put_file("0123456789abcdef\0hidden", 23);
	assert_int_equal(load(&c, URL, token, NULL), RC_INVALID);
	assert_contains(err.text, "is not a text file");
	config_clear(&c);
	unlink(path);
	assert_int_equal(load(&c, URL, token, NULL), RC_INVALID);
	assert_contains(err.text, "AIRLOCK_CP_OPERATOR_TOKEN_FILE: can't read");
	assert_contains(err.text, "No such file");
	config_clear(&c);
}

/* --- config.yaml ----------------------------------------------------------------- */

static enum rc yaml(struct config *c, const char *text)
{
	memset(&err, 0, sizeof(err));
	return config_load_yaml(c, "config.yaml", text, strlen(text), &err);
}

static char *describe(const struct config *c)
{
	struct buf b;

	buf_init(&b, 100000);
	config_describe(c, &b);
	return buf_steal(&b);
}

/* Every key of the table stands in the example, under its section, with its default. */
static void the_example_holds_every_default(void **state)
{
	struct config defaults = {0};
	struct config example = {0};
	char *a;
	char *b;

	(void)state;
	assert_int_equal(yaml(&defaults, ""), RC_OK);
	assert_int_equal(config_load_yaml(&example, "config.example.yaml", config_example,
				 config_example_len, &err),
		RC_OK);
	a = describe(&defaults);
	b = describe(&example);
	assert_string_equal(a, b);
	free(a);
	free(b);
	for (size_t i = 0; i < config_key_count(); i++) {
		struct buf name;
		char line[128];
		char *text;
		char *dot;
		const char *section;
		const char *key;
		const char *next;

		buf_init(&name, 128);
		config_key_name(i, &name);
		text = buf_steal(&name);
		dot = strchr(text, '.');
		*dot = '\0';
		snprintf(line, sizeof(line), "\n%s:\n", text);
		section = strstr(config_example, line);
		assert_non_null(section);
		snprintf(line, sizeof(line), "\n  %s: ", dot + 1);
		key = strstr(section, line);
		if (!key)
			fail_msg("config.example.yaml lacks %s.%s", text, dot + 1);
		/* No other section begins in between. */
		for (next = section + 1; next < key; next = strchr(next, '\n') + 1)
			assert_true(next == section + 1 || *next == ' ' || *next == '\n' ||
				*next == '#');
		free(text);
	}
	config_clear(&defaults);
	config_clear(&example);
}

static void the_embedded_example_is_the_file(void **state)
{
	char *text;
	size_t len;

	(void)state;
	assert_int_equal(
		file_read("conf/config.example.yaml", CONFIG_FILE_MAX, &text, &len), RC_OK);
	assert_int_equal(len, config_example_len);
	assert_memory_equal(text, config_example, len);
	free(text);
}

static void the_headers_defaults(void **state)
{
	struct config c = {0};

	(void)state;
	assert_int_equal(yaml(&c, "# nothing\n"), RC_OK);
	assert_string_equal(c.cp_private_key_path, "/state/cp_ed25519.pem");
	assert_string_equal(c.audit_log_path, "/state/audit.jsonl");
	assert_string_equal(c.run_dir, "/run/airlock");
	assert_true(c.public_status);
	assert_int_equal(c.trusted_proxy_count, 2);
	assert_string_equal(c.trusted_proxies[0], "127.0.0.0/8");
	assert_string_equal(c.trusted_proxies[1], "::1/128");
	assert_string_equal(c.metrics_address, "127.0.0.1");
	assert_int_equal(c.pool_processes, 2);
	assert_int_equal(c.pool_threads, 96);
	assert_int_equal(c.max_request_bytes, 4 << 20);
	assert_int_equal(c.max_result_bytes, 16 << 20);
	assert_int_equal(c.max_manifest_bytes, 1 << 20);
	assert_int_equal(c.call_timeout_ms, 60000);
	assert_int_equal(c.calls_per_session, 128);
	assert_int_equal(c.calls_per_tenant, 96);
	assert_int_equal(c.key_requests_per_minute, 6000);
	assert_int_equal(c.argon2_concurrency, 2);
	assert_int_equal(c.key_wait_ms, 10000);
	assert_int_equal(c.idempotency_ttl_s, 86400);
	assert_int_equal(c.streams, 10000);
	assert_int_equal(c.streams_per_tenant, 2000);
	assert_int_equal(c.call_backlog_bytes, 16 << 20);
	assert_int_equal(c.stream_backlog_bytes, 64 << 10);
	assert_int_equal(c.stream_keepalive_ms, 15000);
	assert_int_equal(c.heartbeat_ms, 15000);
	assert_int_equal(c.heartbeat_timeout_ms, 10000);
	assert_int_equal(c.handshake_timeout_ms, 10000);
	assert_int_equal(c.clock_skew_s, 300);
	assert_int_equal(c.drain_timeout_ms, 25000);
	assert_int_equal(c.max_connections, 16000);
	assert_int_equal(c.audit_fsync, CONFIG_FSYNC_BATCH);
	assert_int_equal(c.tool_pinning, CONFIG_PINNING_WARN);
	assert_int_equal(c.audit_fsync_interval_ms, 1000);
	assert_int_equal(c.audit_min_free_bytes, 16 << 20);
	assert_int_equal(c.audit_checkpoint_rows, 1000);
	assert_int_equal(c.audit_checkpoint_seconds, 60);
	assert_int_equal(c.audit_rotate_bytes, 256 << 20);
	assert_int_equal(c.audit_rotate_hours, 24);
	assert_int_equal(c.audit_streams, 1000);
	assert_int_equal(c.audit_stream_backlog_bytes, 256 << 10);
	assert_int_equal(c.audit_stream_keepalive_ms, 15000);
	assert_string_equal(c.audit_index_path, "");
	config_clear(&c);
}

static void keys_are_read(void **state)
{
	struct config c = {0};

	(void)state;
	assert_int_equal(yaml(&c,
				 "---\nserver:\n  run_dir: /r\n  public_status: No\n  "
				 "tool_pinning: enforce\n  "
				 "trusted_proxies:\n    - 10.0.0.0/8\n"
				 "    - '2001:db8::1'\n  metrics_address: '::'\npool:\nlimits: "
				 "{max_request_bytes: 2048, "
				 "max_result_bytes: 3 MiB, max_manifest_bytes: 16KiB}\n"
				 "audit:\n  fsync: interval\n  min_free_bytes: 1GiB\n"),
		RC_OK);
	assert_string_equal(c.run_dir, "/r");
	assert_false(c.public_status);
	assert_int_equal(c.trusted_proxy_count, 2);
	assert_string_equal(c.trusted_proxies[1], "2001:db8::1");
	assert_string_equal(c.metrics_address, "::");
	assert_int_equal(c.max_request_bytes, 2048);
	assert_int_equal(c.max_result_bytes, 3 << 20);
	assert_int_equal(c.max_manifest_bytes, 16 << 10);
	assert_int_equal(c.audit_fsync, CONFIG_FSYNC_INTERVAL);
	assert_int_equal(c.tool_pinning, CONFIG_PINNING_ENFORCE);
	assert_true(c.audit_min_free_bytes == 1LL << 30);
	assert_int_equal(c.pool_threads, 96);
	/* Loading again starts from the defaults. */
	assert_int_equal(yaml(&c, "server:\n  trusted_proxies: []\n"), RC_OK);
	assert_string_equal(c.run_dir, "/run/airlock");
	assert_int_equal(c.trusted_proxy_count, 0);
	config_clear(&c);
}

static void errors_name_the_line(void **state)
{
	static const struct {
		const char *text;
		const char *error;
	} cases[] = {
		{"server:\n  rundir: /r\n",
			"config.yaml:2: unknown key 'rundir' in server; did you mean 'run_dir'?"},
		{"server:\n\n  threads: 5\n",
			"config.yaml:3: unknown key 'threads' in server; it belongs under pool:"},
		{"server:\n  zzzzzzzzzzzz: 5\n",
			"config.yaml:2: unknown key 'zzzzzzzzzzzz' in server; config.example.yaml "
			"lists the keys"},
		{"sever:\n  run_dir: /r\n",
			"config.yaml:1: unknown section 'sever'; did you mean 'server'?"},
		{"threads: 5\n",
			"config.yaml:1: unknown section 'threads'; as a key it belongs under "
			"pool:"},
		{"colours: 5\n",
			"config.yaml:1: unknown section 'colours'; there are server, pool, limits, "
			"tunnel and audit"},
		{"pool:\n  threads: 0\n",
			"config.yaml:2: pool.threads must be a whole number from 1 to 1024"},
		{"pool:\n  threads: 1025\n",
			"config.yaml:2: pool.threads must be a whole number from 1 to 1024"},
		{"pool:\n  threads: 1e2\n",
			"config.yaml:2: pool.threads must be a whole number from 1 to 1024"},
		{"pool:\n  threads: '9'\n",
			"config.yaml:2: pool.threads must be a whole number from 1 to 1024"},
		{"pool:\n  threads: -9\n",
			"config.yaml:2: pool.threads must be a whole number from 1 to 1024"},
		{"pool:\n  threads:\n",
			"config.yaml:2: pool.threads must be a whole number from 1 to 1024"},
		{"pool:\n  threads: [9]\n",
			"config.yaml:2: pool.threads must be a whole number from 1 to 1024"},
		{"pool:\n  threads: {a: 9}\n",
			"config.yaml:2: pool.threads must be a whole number from 1 to 1024"},
		{"limits:\n  max_request_bytes: 65MiB\n",
			"config.yaml:2: limits.max_request_bytes must be a size from 1KiB to "
			"64MiB (bytes, or with KiB, MiB or GiB)"},
		{"limits:\n  max_request_bytes: 9999999999999999GiB\n",
			"config.yaml:2: limits.max_request_bytes must be a size from 1KiB to 64MiB "
			"(bytes, or with KiB, MiB or "
			"GiB)"},
		{"limits:\n  max_request_bytes: 4MB\n",
			"config.yaml:2: limits.max_request_bytes must be a size from 1KiB to "
			"64MiB (bytes, or with KiB, MiB or GiB)"},
		{"server:\n  public_status: maybe\n",
			"config.yaml:2: server.public_status must be true or false"},
		{"server:\n  run_dir: run\n",
			"config.yaml:2: server.run_dir must be an absolute path"},
		{"server:\n  run_dir: \"/a\\nb\"\n",
			"config.yaml:2: server.run_dir must be an absolute path"},
		{"server:\n  metrics_address: localhost\n",
			"config.yaml:2: server.metrics_address must be an IP address"},
		{"server:\n  log_level: loud\n",
			"config.yaml:2: server.log_level must be DEBUG, INFO, WARNING, ERROR, "
			"CRITICAL or \"\""},
		{"server:\n  trusted_proxies: 10.0.0.0/8\n",
			"config.yaml:2: server.trusted_proxies must be a list of at most 32 "
			"addresses such as 10.0.0.0/8"},
		{"server:\n  trusted_proxies:\n    - ::1/128\n    - 10.0.0.0/33\n",
			"config.yaml:4: server.trusted_proxies must be a list of at most 32 "
			"addresses such as 10.0.0.0/8"},
		{"server:\n  trusted_proxies: [[]]\n",
			"config.yaml:2: server.trusted_proxies must be a list of at most 32 "
			"addresses such as 10.0.0.0/8"},
		{"server:\n  allowed_origins: ['*']\n",
			"config.yaml:2: server.allowed_origins holds an origin that is '*': any "
			"web page could then use a "
			"signed-in operator's browser; name each origin"},
		{"server:\n  tool_pinning: \"on\"\n",
			"config.yaml:2: server.tool_pinning must be off, warn or enforce"},
		{"audit:\n  fsync: never\n",
			"config.yaml:2: audit.fsync must be batch or interval"},
		{"pool:\n  threads: 5\n  threads: 5\n", "config.yaml:3: pool.threads is set twice"},
		{"pool:\n  threads: 5\n\npool:\n  processes: 1\n",
			"config.yaml:4: section pool is there twice"},
		{"pool: 5\n", "config.yaml:1: section pool must hold \"key: value\" lines"},
		{"pool:\n  - 5\n", "config.yaml:2: section pool must hold \"key: value\" lines"},
		{"- pool\n", "config.yaml:1: expected sections such as \"server:\" here"},
		{"pool\n", "config.yaml:1: expected sections such as \"server:\" here"},
		{"? [a]\n: b\n", "config.yaml:1: expected the name of a section here"},
		{"pool:\n  ? [a]\n  : b\n", "config.yaml:2: expected a key of pool here"},
		{"pool:\n  threads: &a 5\n",
			"config.yaml:2: aliases, anchors and tags are not allowed here"},
		{"pool: &a\n  threads: 5\n",
			"config.yaml:1: aliases, anchors and tags are not allowed here"},
		{"pool:\n  threads: *a\n",
			"config.yaml:2: aliases, anchors and tags are not allowed here"},
		{"pool:\n  threads: !!int 5\n",
			"config.yaml:2: aliases, anchors and tags are not allowed here"},
		{"pool:\n  <<: 5\n",
			"config.yaml:2: unknown key '<<' in pool; config.example.yaml lists the "
			"keys"},
		{"pool:\n  \"threads\\0x\": 5\n", "config.yaml:2: a text must not hold a NUL"},
		{"pool:\n  threads: 5\n---\npool:\n",
			"config.yaml:3: only one YAML document is allowed"},
		{"pool:\n  threads: 5\n bad\n",
			"config.yaml:3: not valid YAML: did not find expected key"},
		{"pool:\n\tthreads: 5\n",
			"config.yaml:2: not valid YAML: found character that cannot start any "
			"token"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct config c = {0};

		assert_int_equal(yaml(&c, cases[i].text), RC_INVALID);
		assert_string_equal(err.text, cases[i].error);
		config_clear(&c);
	}
}

static void a_huge_file_is_refused(void **state)
{
	char *text = malloc(CONFIG_FILE_MAX + 1);
	struct config c = {0};

	(void)state;
	memset(text, '#', CONFIG_FILE_MAX + 1);
	assert_int_equal(config_load_yaml(&c, "x", text, CONFIG_FILE_MAX, &err), RC_OK);
	assert_int_equal(config_load_yaml(&c, "x", text, CONFIG_FILE_MAX + 1, &err), RC_INVALID);
	memset(text, '[', CONFIG_FILE_MAX);
	assert_int_equal(config_load_yaml(&c, "x", text, CONFIG_FILE_MAX, &err), RC_INVALID);
	config_clear(&c);
	free(text);
}

static void a_value_is_never_repeated(void **state)
{
	struct config c = {0};

	(void)state;
	assert_int_equal(yaml(&c, "server:\n  operator_token: hunter2\n"), RC_INVALID);
	assert_null(strstr(err.text, "hunter2"));
	assert_int_equal(yaml(&c, "pool:\n  threads: hunter2\n"), RC_INVALID);
	assert_null(strstr(err.text, "hunter2"));
	config_clear(&c);
}

static void the_file_wins_over_two_variables(void **state)
{
	struct config c;

	(void)state;
	assert_int_equal(load(&c, TOKEN, URL, "AIRLOCK_CP_LOG_LEVEL=ERROR",
				 "AIRLOCK_CP_ALLOWED_ORIGINS=https://a.example.com", NULL),
		RC_OK);
	assert_int_equal(yaml(&c, ""), RC_OK);
	assert_int_equal(c.log_level, LOG_LEVEL_ERROR);
	assert_int_equal(c.origin_count, 1);
	assert_int_equal(yaml(&c,
				 "server:\n  log_level: debug\n  allowed_origins: "
				 "[https://B.example.com, http://c:81]\n"),
		RC_OK);
	assert_int_equal(c.log_level, LOG_LEVEL_DEBUG);
	assert_int_equal(c.origin_count, 2);
	assert_string_equal(c.origins[0], "https://b.example.com");
	assert_string_equal(c.origins[1], "http://c:81");
	config_clear(&c);
}

static void paths_are_derived(void **state)
{
	static const char *const cases[][3] = {
		{NULL, "/data/state.db", NULL},
		{"AIRLOCK_CP_STATE_PATH=/s/mine.db", "/s/mine.db", NULL},
		{"AIRLOCK_CP_STATE_PATH=/s/state.yaml", "/s/state.db", "/s/state.yaml"},
		{"AIRLOCK_CP_STATE_PATH=/s/old.YML", "/s/state.db", "/s/old.YML"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct config c;

		assert_int_equal(load(&c, TOKEN, URL, cases[i][0], NULL), RC_OK);
		assert_int_equal(yaml(&c, "server:\n  audit_log_path: /data/audit.jsonl\n"), RC_OK);
		config_derive(&c);
		assert_string_equal(c.state_path, cases[i][1]);
		if (cases[i][2])
			assert_string_equal(c.import_path, cases[i][2]);
		else
			assert_null(c.import_path);
		config_clear(&c);
	}
}

static void socket_paths(void **state)
{
	struct config c = {0};
	char out[108];
	char longest[200] = "server:\n  run_dir: /";

	(void)state;
	assert_int_equal(yaml(&c, ""), RC_OK);
	assert_int_equal(config_socket_path(&c, "fcgi.sock", out), RC_OK);
	assert_string_equal(out, "/run/airlock/fcgi.sock");
	memset(longest + strlen(longest), 'r', 96);
	assert_int_equal(yaml(&c, longest), RC_OK);
	assert_int_equal(config_socket_path(&c, "fcgi.sock", out), RC_OK); /* 107 characters */
	strcat(longest, "r");
	assert_int_equal(yaml(&c, longest), RC_OK);
	assert_int_equal(config_socket_path(&c, "fcgi.sock", out), RC_LIMIT);
	config_clear(&c);
}

/* --- config_open(), config_reload() -------------------------------------------------- */

static void child_environment(void)
{
	clearenv();
	setenv("AIRLOCK_CP_OPERATOR_TOKEN", "0123456789abcdef-token", 1);
	setenv("AIRLOCK_SESSION_SECRET", "0123456789abcdef0123456789abcdef", 1);
	setenv("AIRLOCK_CP_PUBLIC_URL", "https://cp.example.com", 1);
	setenv("AIRLOCK_CP_CONFIG", path, 1);
	setenv("AIRLOCK_CP_LOG_LEVEL", "ERROR", 1);
}

/* Runs in a child, for config_open() changes the process; what it returns is the exit status. */
static int in_child(int (*run)(void))
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		child_environment();
		_exit(run());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* The daemons hold theirs as const; only its last reader may free it. */
static void discard(const struct config *c)
{
	struct config *mine;

	memcpy(&mine, &c, sizeof(void *));
	config_free(mine);
}

static int opens(void)
{
	char *env_token = getenv("AIRLOCK_CP_OPERATOR_TOKEN");
	const struct config *c = config_open();
	struct stat st;

	if (strcmp(c->operator_token, "0123456789abcdef-token") != 0 ||
		strlen(c->session_secret) != 32)
		return 2;
	if (getenv("AIRLOCK_CP_OPERATOR_TOKEN") || getenv("AIRLOCK_SESSION_SECRET") || !env_token ||
		*env_token)
		return 3;
	if (stat(path, &st) != 0 || (st.st_mode & 07777) != 0640 ||
		st.st_size != (off_t)config_example_len)
		return 4;
	if (strcmp(c->state_path, "/state/state.db") != 0)
		return 5;
	discard(c);
	return 0;
}

static void open_seeds_the_file_and_hides_the_secrets(void **state)
{
	(void)state;
	unlink(path);
	assert_int_equal(in_child(opens), 0);
}

static int open_bad(void)
{
	config_open();
	return 0;
}

static void open_dies_of_a_bad_file(void **state)
{
	(void)state;
	put_text("pool:\n  threads: none\n");
	assert_int_equal(in_child(open_bad), 1);
}

static int reloads(void)
{
	const struct config *first = config_open();
	struct config *second;
	struct config *third;

	put_text("server:\n  log_level: ERROR\n  allowed_origins: [https://a.example.com]\npool:\n "
		 " threads: 7\n");
	second = config_reload();
	if (!second || second->origin_count != 1 ||
		strcmp(second->origins[0], "https://a.example.com") != 0)
		return 2;
	if (second->pool_threads != 96 || second->log_level != LOG_LEVEL_ERROR)
		return 3; /* a restart is needed for the rest */
	if (second->operator_token == first->operator_token ||
		strcmp(second->operator_token, first->operator_token) != 0)
		return 4;
	if (second->audit_archive_command == first->audit_archive_command ||
		second->audit_head_command == first->audit_head_command ||
		second->audit_index_path == first->audit_index_path)
		return 7; /* what both have, neither may free */
	discard(first);
	if (strcmp(second->audit_archive_command, "cp %p /archive") != 0 ||
		strcmp(second->audit_head_command, "push %s") != 0)
		return 8;
	put_text("server:\n  log_level: LOUD\n");
	if (config_reload())
		return 5;
	put_text("");
	third = config_reload();
	config_free(second);
	if (!third || third->origin_count != 0 || third->allowed_origin_count != 0)
		return 6;
	config_free(third);
	return 0;
}

static void reload_takes_two_keys_over(void **state)
{
	(void)state;
	put_text("audit:\n  archive_command: cp %p /archive\n  head_command: push %s\n");
	assert_int_equal(in_child(reloads), 0);
}

/* The kernel's view of the environment, in a program started with the secret in it. */
static void proc_environ_shows_no_secret(const char *self)
{
	char command[600];
	int status;

	snprintf(command, sizeof(command),
		"env -i AIRLOCK_CP_OPERATOR_TOKEN=0123456789abcdef-token "
		"AIRLOCK_CP_PUBLIC_URL=https://cp.example.com "
		"AIRLOCK_CP_CONFIG=%s AIRLOCK_TEST_ENVIRON=1 %s",
		path, self);
	status = system(command);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static const char *program;

static void nobody_sees_the_secret_in_proc(void **state)
{
	(void)state;
	put_text("");
	proc_environ_shows_no_secret(program);
}

static int look_at_proc_environ(void)
{
	char *text;
	size_t len;
	bool shown = false;

	config_open();
	if (file_read("/proc/self/environ", 65536, &text, &len) != RC_OK)
		return 2;
	if (!memmem(text, len, "AIRLOCK_TEST_ENVIRON", 20))
		return 3;
	shown = memmem(text, len, "abcdef-token", 12) != NULL;
	free(text);
	return shown ? 4 : 0;
}

static int forget_warnings(void **state)
{
	(void)state;
	free(warnings);
	return 0;
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_guides_defaults),
		cmocka_unit_test(every_variable_is_read),
		cmocka_unit_test(an_empty_variable_is_unset),
		cmocka_unit_test(the_new_name_of_the_demo_switch_wins),
		cmocka_unit_test(public_url_rules),
		cmocka_unit_test(wrong_values_are_named),
		cmocka_unit_test(an_origin_of_star_is_explained),
		cmocka_unit_test(too_many_origins),
		cmocka_unit_test(operator_token_rules),
		cmocka_unit_test(unknown_names_are_warned_of),
		cmocka_unit_test(kubernetes_names_are_silent),
		cmocka_unit_test_setup_teardown(secrets_from_files, make_dir, remove_dir),
		cmocka_unit_test(the_example_holds_every_default),
		cmocka_unit_test(the_embedded_example_is_the_file),
		cmocka_unit_test(the_headers_defaults),
		cmocka_unit_test(keys_are_read),
		cmocka_unit_test(errors_name_the_line),
		cmocka_unit_test(a_huge_file_is_refused),
		cmocka_unit_test(a_value_is_never_repeated),
		cmocka_unit_test(the_file_wins_over_two_variables),
		cmocka_unit_test(paths_are_derived),
		cmocka_unit_test(socket_paths),
		cmocka_unit_test_setup_teardown(
			open_seeds_the_file_and_hides_the_secrets, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(open_dies_of_a_bad_file, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(reload_takes_two_keys_over, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(
			nobody_sees_the_secret_in_proc, make_dir, remove_dir),
	};
	(void)argc;
	if (getenv("AIRLOCK_TEST_ENVIRON"))
		return look_at_proc_environ();
	program = argv[0];
	return cmocka_run_group_tests(tests, NULL, forget_warnings);
}
