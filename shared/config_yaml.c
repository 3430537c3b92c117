#include "shared/config_internal.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "shared/audit_chain.h"
#include "shared/clientip.h"
#include "shared/mem.h"
#include "shared/text.h"

#define KIB 1024LL
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)

enum key_type {
	KEY_INT,
	KEY_SIZE, /* int64_t bytes, with KiB, MiB or GiB behind the number or not */
	KEY_BOOL,
	KEY_FSYNC, /* one of some words: an enum whose values are their places in words_of() */
	KEY_PINNING,
	KEY_PATH, /* absolute */
	KEY_PATH_OR_NONE, /* or "" */
	KEY_ADDRESS,
	KEY_TEXT, /* one line, or "" */
	KEY_LEVEL, /* a log level or "" */
	KEY_CIDRS, /* lists: an array of pointers and a count */
	KEY_ORIGINS,
};

struct key {
	const char *section;
	const char *name;
	enum key_type type;
	size_t offset;
	size_t count_offset; /* lists */
	const char *preset; /* the default, as it would be written in the file; lists separate with
			       spaces */
	int64_t min;
	int64_t max;
};

#define AT(field) offsetof(struct config, field)
static const struct key keys[] = {
	{"server", "cp_private_key_path", KEY_PATH, AT(cp_private_key_path), 0,
		"/state/cp_ed25519.pem", 0, 0},
	{"server", "audit_log_path", KEY_PATH, AT(audit_log_path), 0, "/state/audit.jsonl", 0, 0},
	{"server", "run_dir", KEY_PATH, AT(run_dir), 0, "/run/airlock", 0, 0},
	{"server", "public_status", KEY_BOOL, AT(public_status), 0, "true", 0, 0},
	{"server", "trusted_proxies", KEY_CIDRS, AT(trusted_proxies), AT(trusted_proxy_count),
		"127.0.0.0/8 ::1/128", 0, CONFIG_PROXIES_MAX},
	{"server", "metrics_address", KEY_ADDRESS, AT(metrics_address), 0, "127.0.0.1", 0, 0},
	{"server", "tool_pinning", KEY_PINNING, AT(tool_pinning), 0, "warn", 0, 0},
	{"server", "log_level", KEY_LEVEL, AT(log_level_name), 0, "", 0, 0},
	{"server", "allowed_origins", KEY_ORIGINS, AT(allowed_origins), AT(allowed_origin_count),
		"", 0, CONFIG_ORIGINS_MAX},

	{"pool", "processes", KEY_INT, AT(pool_processes), 0, "2", 1, 64},
	{"pool", "threads", KEY_INT, AT(pool_threads), 0, "96", 1, 1024},

	{"limits", "max_request_bytes", KEY_SIZE, AT(max_request_bytes), 0, "4MiB", KIB, 64 * MIB},
	{"limits", "max_result_bytes", KEY_SIZE, AT(max_result_bytes), 0, "16MiB", KIB, 256 * MIB},
	{"limits", "max_manifest_bytes", KEY_SIZE, AT(max_manifest_bytes), 0, "1MiB", KIB,
		16 * MIB},
	{"limits", "call_timeout_ms", KEY_INT, AT(call_timeout_ms), 0, "60000", 100, 3600000},
	{"limits", "calls_per_session", KEY_INT, AT(calls_per_session), 0, "128", 1, 10000},
	{"limits", "calls_per_tenant", KEY_INT, AT(calls_per_tenant), 0, "96", 1, 100000},
	{"limits", "key_requests_per_minute", KEY_INT, AT(key_requests_per_minute), 0, "6000", 0,
		1000000},
	{"limits", "argon2_concurrency", KEY_INT, AT(argon2_concurrency), 0, "2", 1, 64},
	{"limits", "key_wait_ms", KEY_INT, AT(key_wait_ms), 0, "10000", 100, 60000},
	{"limits", "idempotency_ttl_s", KEY_INT, AT(idempotency_ttl_s), 0, "86400", 60, 2592000},
	{"limits", "streams", KEY_INT, AT(streams), 0, "10000", 1, 1000000},
	{"limits", "streams_per_tenant", KEY_INT, AT(streams_per_tenant), 0, "2000", 1, 1000000},
	{"limits", "call_backlog_bytes", KEY_SIZE, AT(call_backlog_bytes), 0, "16MiB", 64 * KIB,
		32 * MIB},
	{"limits", "stream_backlog_bytes", KEY_SIZE, AT(stream_backlog_bytes), 0, "64KiB", 4 * KIB,
		16 * MIB},
	{"limits", "stream_keepalive_ms", KEY_INT, AT(stream_keepalive_ms), 0, "15000", 100,
		600000},

	{"tunnel", "heartbeat_ms", KEY_INT, AT(heartbeat_ms), 0, "15000", 100, 600000},
	{"tunnel", "heartbeat_timeout_ms", KEY_INT, AT(heartbeat_timeout_ms), 0, "10000", 100,
		600000},
	{"tunnel", "handshake_timeout_ms", KEY_INT, AT(handshake_timeout_ms), 0, "10000", 100,
		120000},
	{"tunnel", "clock_skew_s", KEY_INT, AT(clock_skew_s), 0, "300", 1, 86400},
	{"tunnel", "drain_timeout_ms", KEY_INT, AT(drain_timeout_ms), 0, "25000", 0, 600000},
	{"tunnel", "max_connections", KEY_INT, AT(max_connections), 0, "16000", 1, 1000000},

	{"audit", "fsync", KEY_FSYNC, AT(audit_fsync), 0, "batch", 0, 0},
	{"audit", "fsync_interval_ms", KEY_INT, AT(audit_fsync_interval_ms), 0, "1000", 10, 60000},
	{"audit", "min_free_bytes", KEY_SIZE, AT(audit_min_free_bytes), 0, "16MiB", 0, 1024 * GIB},
	{"audit", "checkpoint_rows", KEY_INT, AT(audit_checkpoint_rows), 0, "1000", 1,
		AUDIT_CHECKPOINT_ROWS_MAX},
	{"audit", "checkpoint_seconds", KEY_INT, AT(audit_checkpoint_seconds), 0, "60", 1, 86400},
	{"audit", "rotate_bytes", KEY_SIZE, AT(audit_rotate_bytes), 0, "256MiB", 0, 1024 * GIB},
	{"audit", "rotate_hours", KEY_INT, AT(audit_rotate_hours), 0, "24", 0, 87600},
	{"audit", "compress", KEY_BOOL, AT(audit_compress), 0, "true", 0, 0},
	{"audit", "keep_days", KEY_INT, AT(audit_keep_days), 0, "0", 0, 36500},
	{"audit", "keep_bytes", KEY_SIZE, AT(audit_keep_bytes), 0, "0", 0,
		INT64_C(1024) * 1024 * GIB},
	{"audit", "tenant_keep_days", KEY_INT, AT(audit_tenant_keep_days), 0, "0", 0, 36500},
	{"audit", "archive_command", KEY_TEXT, AT(audit_archive_command), 0, "", 0, 0},
	{"audit", "head_command", KEY_TEXT, AT(audit_head_command), 0, "", 0, 0},
	{"audit", "command_timeout_s", KEY_INT, AT(audit_command_timeout_s), 0, "300", 1, 86400},
	{"audit", "streams", KEY_INT, AT(audit_streams), 0, "1000", 1, 100000},
	{"audit", "stream_backlog_bytes", KEY_SIZE, AT(audit_stream_backlog_bytes), 0, "256KiB",
		16 * KIB, 16 * MIB},
	{"audit", "stream_keepalive_ms", KEY_INT, AT(audit_stream_keepalive_ms), 0, "15000", 100,
		600000},
	{"audit", "index_path", KEY_PATH_OR_NONE, AT(audit_index_path), 0, "", 0, 0},
};
#define KEY_COUNT (sizeof(keys) / sizeof(keys[0]))

static const char *const sections[] = {"server", "pool", "limits", "tunnel", "audit"};
#define SECTION_COUNT (sizeof(sections) / sizeof(sections[0]))

static const struct {
	const char *suffix;
	int64_t bytes;
} units[] = {{"GiB", GIB}, {"MiB", MIB}, {"KiB", KIB}, {"", 1}};
#define UNIT_COUNT (sizeof(units) / sizeof(units[0]))

static void *field(struct config *c, const struct key *k)
{
	return (char *)c + k->offset;
}

static const void *field_const(const struct config *c, const struct key *k)
{
	return (const char *)c + k->offset;
}

static int *list_count(struct config *c, const struct key *k)
{
	return (int *)(void *)((char *)c + k->count_offset);
}

_Static_assert(
	sizeof(enum config_fsync) == sizeof(int) && sizeof(enum config_pinning) == sizeof(int),
	"a word's place is kept as an int");

static const char *const *words_of(const struct key *k)
{
	static const char *const fsync[] = {"batch", "interval", NULL};
	static const char *const pinning[] = {"off", "warn", "enforce", NULL};

	return k->type == KEY_FSYNC ? fsync : pinning;
}

static void put_words(struct buf *out, const struct key *k)
{
	const char *const *words = words_of(k);

	for (size_t i = 0; words[i]; i++)
		buf_printf(out, "%s%s", i == 0 ? "" : words[i + 1] ? ", " : " or ", words[i]);
}

static bool parse_word(const char *text, const struct key *k, void *dst)
{
	const char *const *words = words_of(k);

	for (int i = 0; words[i]; i++) {
		if (strcmp(text, words[i]) != 0)
			continue;
		memcpy(dst, &i, sizeof(i));
		return true;
	}
	return false;
}

static bool is_list(const struct key *k)
{
	return k->type == KEY_CIDRS || k->type == KEY_ORIGINS;
}

/* --- what a key accepts, for messages ------------------------------------- */

static void put_size(struct buf *out, int64_t bytes)
{
	size_t i = 0;

	while (i < UNIT_COUNT - 1 && (bytes < units[i].bytes || bytes % units[i].bytes))
		i++;
	buf_printf(out, "%lld%s", (long long)(bytes / units[i].bytes), units[i].suffix);
}

static void put_expected(struct buf *out, const struct key *k)
{
	switch (k->type) {
	case KEY_INT:
		buf_printf(out, "a whole number from %lld to %lld", (long long)k->min,
			(long long)k->max);
		break;
	case KEY_SIZE:
		buf_str(out, "a size from ");
		put_size(out, k->min);
		buf_str(out, " to ");
		put_size(out, k->max);
		buf_str(out, " (bytes, or with KiB, MiB or GiB)");
		break;
	case KEY_BOOL:
		buf_str(out, "true or false");
		break;
	case KEY_FSYNC:
	case KEY_PINNING:
		put_words(out, k);
		break;
	case KEY_PATH:
		buf_str(out, "an absolute path");
		break;
	case KEY_PATH_OR_NONE:
		buf_str(out, "an absolute path or \"\"");
		break;
	case KEY_TEXT:
		buf_str(out, "one line of text");
		break;
	case KEY_ADDRESS:
		buf_str(out, "an IP address");
		break;
	case KEY_LEVEL:
		buf_str(out, "DEBUG, INFO, WARNING, ERROR, CRITICAL or \"\"");
		break;
	case KEY_CIDRS:
		buf_printf(out, "a list of at most %lld addresses such as 10.0.0.0/8",
			(long long)k->max);
		break;
	case KEY_ORIGINS:
		buf_printf(out,
			"a list of at most %lld origins such as https://console.example.com",
			(long long)k->max);
		break;
	}
}

/* --- setting one key -------------------------------------------------------- */

static bool parse_size(const char *text, const struct key *k, int64_t *out)
{
	char digits[24];
	size_t len = strspn(text, "0123456789");
	const char *suffix = text + len + (text[len] == ' ' && text[len + 1] != '\0');

	if (!str_copy_len(digits, sizeof(digits), text, len))
		return false;
	for (size_t i = 0; i < UNIT_COUNT; i++) {
		if (strcmp(suffix, units[i].suffix) != 0)
			continue;
		if (!config_int(digits, 0, INT64_MAX / units[i].bytes, out))
			return false;
		*out *= units[i].bytes;
		return *out >= k->min && *out <= k->max;
	}
	return false;
}

static bool path_ok(const char *text)
{
	return text[0] == '/' && text_name_ok(text, 1024);
}

static bool address_ok(const char *text)
{
	struct in6_addr ignored;

	return inet_pton(AF_INET, text, &ignored) == 1 || inet_pton(AF_INET6, text, &ignored) == 1;
}

static bool string_ok(const struct key *k, const char *text)
{
	enum log_level ignored;

	switch (k->type) {
	case KEY_PATH:
		return path_ok(text);
	case KEY_PATH_OR_NONE:
		return !*text || path_ok(text);
	case KEY_TEXT:
		return !*text || text_name_ok(text, 1024);
	case KEY_ADDRESS:
		return address_ok(text);
	default:
		return !*text || log_level_parse(text, &ignored) == RC_OK;
	}
}

static void replace(char **slot, char *value)
{
	free(*slot);
	*slot = value;
}

static bool set_scalar(struct config *c, const struct key *k, const char *text)
{
	void *dst = field(c, k);
	int64_t n;

	switch (k->type) {
	case KEY_INT:
		if (!config_int(text, k->min, k->max, &n))
			return false;
		*(int *)dst = (int)n;
		return true;
	case KEY_SIZE:
		return parse_size(text, k, dst);
	case KEY_BOOL:
		return config_bool(text, dst);
	case KEY_FSYNC:
	case KEY_PINNING:
		return parse_word(text, k, dst);
	default:
		if (!string_ok(k, text))
			return false;
		replace(dst, xstrdup(text));
		return true;
	}
}

static void list_clear(struct config *c, const struct key *k)
{
	char **list = field(c, k);
	int *count = list_count(c, k);

	while (*count > 0)
		replace(&list[--*count], NULL);
}

/* *why may stay NULL: then what the key accepts says enough. */
static bool list_add(struct config *c, const struct key *k, const char *text, const char **why)
{
	char **list = field(c, k);
	int *count = list_count(c, k);
	char *item = NULL;

	if (*count >= k->max)
		return false;
	if (k->type == KEY_ORIGINS)
		item = config_origin(text, why);
	else if (clientip_cidr_ok(text))
		item = xstrdup(text);
	if (item)
		list[(*count)++] = item;
	return item != NULL;
}

static void set_preset(struct config *c, const struct key *k)
{
	const char *why = NULL;

	if (!is_list(k)) {
		if (!set_scalar(c, k, k->preset))
			die("the default of %s.%s is not valid", k->section, k->name);
		return;
	}
	char *copy = xstrdup(k->preset);
	char *rest = copy;
	char *item;

	list_clear(c, k);
	while ((item = strsep(&rest, " "))) {
		if (*item && !list_add(c, k, item, &why))
			die("the default of %s.%s is not valid", k->section, k->name);
	}
	free(copy);
}

/* --- reading the file --------------------------------------------------------- */

struct reader {
	yaml_parser_t parser;
	yaml_event_t event;
	bool have_event;
	const char *name;
	struct config_error *err;
	bool seen[KEY_COUNT];
	bool seen_section[SECTION_COUNT];
};

static size_t line_of(const struct reader *r)
{
	return r->event.start_mark.line + 1;
}

/* What of a name of the file's a message repeats: a bounded piece on one line. */
static void quote(char dst[48], const char *text)
{
	size_t i = 0;

	for (; text[i] && i < 47; i++)
		dst[i] = text[i] >= ' ' && text[i] < 0x7F ? text[i] : '?';
	dst[i] = '\0';
}

static const yaml_char_t *anchor_of(const yaml_event_t *e)
{
	switch (e->type) {
	case YAML_SCALAR_EVENT:
		return e->data.scalar.anchor;
	case YAML_SEQUENCE_START_EVENT:
		return e->data.sequence_start.anchor;
	case YAML_MAPPING_START_EVENT:
		return e->data.mapping_start.anchor;
	default:
		return NULL;
	}
}

static const yaml_char_t *tag_of(const yaml_event_t *e)
{
	switch (e->type) {
	case YAML_SCALAR_EVENT:
		return e->data.scalar.tag;
	case YAML_SEQUENCE_START_EVENT:
		return e->data.sequence_start.tag;
	case YAML_MAPPING_START_EVENT:
		return e->data.mapping_start.tag;
	default:
		return NULL;
	}
}

/* The next event is in r->event, valid until the next call. */
static enum rc next(struct reader *r)
{
	if (r->have_event)
		yaml_event_delete(&r->event);
	r->have_event = false;
	if (!yaml_parser_parse(&r->parser, &r->event))
		return config_fail(r->err, "%s:%zu: not valid YAML: %s", r->name,
			r->parser.problem_mark.line + 1,
			r->parser.problem ? r->parser.problem : "unreadable");
	r->have_event = true;
	if (r->event.type == YAML_ALIAS_EVENT || anchor_of(&r->event) || tag_of(&r->event))
		return config_fail(r->err, "%s:%zu: aliases, anchors and tags are not allowed here",
			r->name, line_of(r));
	/* "\0" in double quotes: what follows would be cut off. */
	if (r->event.type == YAML_SCALAR_EVENT &&
		strlen((const char *)r->event.data.scalar.value) != r->event.data.scalar.length)
		return config_fail(
			r->err, "%s:%zu: a text must not hold a NUL", r->name, line_of(r));
	return RC_OK;
}

static const char *scalar(const struct reader *r)
{
	return (const char *)r->event.data.scalar.value;
}

/* A scalar without text and quotes: "key:" with nothing behind it. */
static bool is_empty(const struct reader *r)
{
	return r->event.type == YAML_SCALAR_EVENT && r->event.data.scalar.length == 0 &&
		r->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
}

/* A scalar that says something, without quotes around what is no string. */
static bool is_value(const struct reader *r, const struct key *k)
{
	bool bare = k->type == KEY_INT || k->type == KEY_SIZE || k->type == KEY_BOOL;

	if (r->event.type != YAML_SCALAR_EVENT || is_empty(r))
		return false;
	return !bare || r->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
}

static enum rc fail_value(struct reader *r, const struct key *k, const char *why)
{
	struct buf expected;

	buf_init(&expected, 256);
	if (why)
		buf_printf(&expected, "holds an origin that %s", why);
	else {
		buf_str(&expected, "must be ");
		put_expected(&expected, k);
	}
	buf_char(&expected, '\0');
	config_fail(r->err, "%s:%zu: %s.%s %s", r->name, line_of(r), k->section, k->name,
		expected.failed ? "is not valid" : (const char *)expected.data);
	buf_free(&expected);
	return RC_INVALID;
}

static enum rc read_list(struct reader *r, struct config *c, const struct key *k)
{
	if (r->event.type != YAML_SEQUENCE_START_EVENT)
		return fail_value(r, k, NULL);
	list_clear(c, k);
	for (;;) {
		const char *why = NULL;

		enum rc rc = next(r);
		if (rc != RC_OK || r->event.type == YAML_SEQUENCE_END_EVENT)
			return rc;
		if (!is_value(r, k) || !list_add(c, k, scalar(r), &why))
			return fail_value(r, k, why);
	}
}

static enum rc fail_key(struct reader *r, const char *section)
{
	const char *names[KEY_COUNT];
	char word[48];
	size_t count = 0;
	const char *home = NULL;

	for (size_t i = 0; i < KEY_COUNT; i++) {
		if (strcmp(keys[i].section, section) == 0)
			names[count++] = keys[i].name;
		else if (strcmp(keys[i].name, scalar(r)) == 0)
			home = keys[i].section;
	}
	quote(word, scalar(r));
	if (home)
		return config_fail(r->err,
			"%s:%zu: unknown key '%s' in %s; it belongs under %s:", r->name, line_of(r),
			word, section, home);
	const char *nearest = text_nearest(scalar(r), names, count);
	if (nearest)
		return config_fail(r->err, "%s:%zu: unknown key '%s' in %s; did you mean '%s'?",
			r->name, line_of(r), word, section, nearest);
	return config_fail(r->err,
		"%s:%zu: unknown key '%s' in %s; config.example.yaml lists the keys", r->name,
		line_of(r), word, section);
}

static enum rc read_key(struct reader *r, struct config *c, const char *section)
{
	size_t i = 0;

	if (r->event.type != YAML_SCALAR_EVENT)
		return config_fail(
			r->err, "%s:%zu: expected a key of %s here", r->name, line_of(r), section);
	while (i < KEY_COUNT &&
		(strcmp(keys[i].section, section) != 0 || strcmp(keys[i].name, scalar(r)) != 0))
		i++;
	if (i == KEY_COUNT)
		return fail_key(r, section);
	if (r->seen[i])
		return config_fail(r->err, "%s:%zu: %s.%s is set twice", r->name, line_of(r),
			section, keys[i].name);
	r->seen[i] = true;
	enum rc rc = next(r);
	if (rc != RC_OK)
		return rc;
	if (is_list(&keys[i]))
		return read_list(r, c, &keys[i]);
	if (!is_value(r, &keys[i]) || !set_scalar(c, &keys[i], scalar(r)))
		return fail_value(r, &keys[i], NULL);
	return RC_OK;
}

static enum rc fail_section(struct reader *r)
{
	char word[48];

	quote(word, scalar(r));
	for (size_t i = 0; i < KEY_COUNT; i++) {
		if (strcmp(keys[i].name, scalar(r)) == 0)
			return config_fail(r->err,
				"%s:%zu: unknown section '%s'; as a key it belongs under %s:",
				r->name, line_of(r), word, keys[i].section);
	}
	const char *nearest = text_nearest(scalar(r), sections, SECTION_COUNT);
	if (nearest)
		return config_fail(r->err, "%s:%zu: unknown section '%s'; did you mean '%s'?",
			r->name, line_of(r), word, nearest);
	return config_fail(r->err,
		"%s:%zu: unknown section '%s'; there are server, pool, limits, tunnel and audit",
		r->name, line_of(r), word);
}

static enum rc read_section(struct reader *r, struct config *c)
{
	size_t i = 0;

	if (r->event.type != YAML_SCALAR_EVENT)
		return config_fail(
			r->err, "%s:%zu: expected the name of a section here", r->name, line_of(r));
	while (i < SECTION_COUNT && strcmp(sections[i], scalar(r)) != 0)
		i++;
	if (i == SECTION_COUNT)
		return fail_section(r);
	if (r->seen_section[i])
		return config_fail(r->err, "%s:%zu: section %s is there twice", r->name, line_of(r),
			sections[i]);
	r->seen_section[i] = true;
	enum rc rc = next(r);
	if (rc != RC_OK || is_empty(r))
		return rc;
	if (r->event.type != YAML_MAPPING_START_EVENT)
		return config_fail(r->err, "%s:%zu: section %s must hold \"key: value\" lines",
			r->name, line_of(r), sections[i]);
	while ((rc = next(r)) == RC_OK && r->event.type != YAML_MAPPING_END_EVENT) {
		rc = read_key(r, c, sections[i]);
		if (rc != RC_OK)
			break;
	}
	return rc;
}

static enum rc read_document(struct reader *r, struct config *c)
{
	enum rc rc = next(r);

	if (rc != RC_OK || is_empty(r))
		return rc;
	if (r->event.type != YAML_MAPPING_START_EVENT)
		return config_fail(r->err, "%s:%zu: expected sections such as \"server:\" here",
			r->name, line_of(r));
	while ((rc = next(r)) == RC_OK && r->event.type != YAML_MAPPING_END_EVENT) {
		rc = read_section(r, c);
		if (rc != RC_OK)
			break;
	}
	return rc;
}

static enum rc read_stream(struct reader *r, struct config *c)
{
	enum rc rc = next(r); /* the start of the stream */

	if (rc == RC_OK)
		rc = next(r);
	if (rc != RC_OK || r->event.type == YAML_STREAM_END_EVENT)
		return rc; /* nothing but comments */
	rc = read_document(r, c);
	if (rc == RC_OK)
		rc = next(r); /* the end of the document */
	if (rc == RC_OK)
		rc = next(r);
	if (rc == RC_OK && r->event.type != YAML_STREAM_END_EVENT)
		return config_fail(
			r->err, "%s:%zu: only one YAML document is allowed", r->name, line_of(r));
	return rc;
}

/* The two keys that stand in for a variable. */
static void apply_overrides(struct config *c)
{
	enum log_level level;

	if (log_level_parse(c->log_level_name, &level) == RC_OK)
		c->log_level = level;
	if (c->allowed_origin_count == 0)
		return;
	for (int i = 0; i < CONFIG_ORIGINS_MAX; i++) {
		char *origin = i < c->allowed_origin_count ? xstrdup(c->allowed_origins[i]) : NULL;

		replace(&c->origins[i], origin);
	}
	c->origin_count = c->allowed_origin_count;
}

enum rc config_load_yaml(
	struct config *c, const char *name, const char *text, size_t len, struct config_error *err)
{
	struct reader r = {.name = name, .err = err};

	if (len > CONFIG_FILE_MAX)
		return config_fail(err, "%s: longer than %d bytes", name, CONFIG_FILE_MAX);
	for (size_t i = 0; i < KEY_COUNT; i++)
		set_preset(c, &keys[i]);
	if (!yaml_parser_initialize(&r.parser))
		die("out of memory");
	yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, len);
	enum rc rc = read_stream(&r, c);
	if (r.have_event)
		yaml_event_delete(&r.event);
	yaml_parser_delete(&r.parser);
	if (rc == RC_OK)
		apply_overrides(c);
	return rc;
}

/* --- the table, for config_describe() and reloads -------------------------------- */

size_t config_key_count(void)
{
	return KEY_COUNT;
}

void config_key_name(size_t i, struct buf *out)
{
	buf_printf(out, "%s.%s", keys[i].section, keys[i].name);
}

size_t config_key_pointers(size_t i, size_t *offset)
{
	const struct key *k = &keys[i];

	*offset = k->offset;
	switch (k->type) {
	case KEY_INT:
	case KEY_SIZE:
	case KEY_BOOL:
	case KEY_FSYNC:
	case KEY_PINNING:
		return 0;
	case KEY_CIDRS:
	case KEY_ORIGINS:
		return (size_t)k->max;
	case KEY_PATH:
	case KEY_PATH_OR_NONE:
	case KEY_ADDRESS:
	case KEY_TEXT:
	case KEY_LEVEL:
		return 1;
	}
	return 0;
}

static void put_list(struct buf *out, char *const *list, int count)
{
	buf_char(out, '[');
	for (int i = 0; i < count; i++) {
		buf_str(out, i ? ", " : "");
		buf_json(out, list[i]);
	}
	buf_char(out, ']');
}

void config_key_value(const struct config *c, size_t i, struct buf *out)
{
	const struct key *k = &keys[i];
	const void *src = field_const(c, k);
	int count, word;

	switch (k->type) {
	case KEY_INT:
		buf_printf(out, "%d", *(const int *)src);
		break;
	case KEY_SIZE:
		put_size(out, *(const int64_t *)src);
		break;
	case KEY_BOOL:
		buf_str(out, *(const bool *)src ? "true" : "false");
		break;
	case KEY_FSYNC:
	case KEY_PINNING:
		memcpy(&word, src, sizeof(word));
		buf_str(out, words_of(k)[word]);
		break;
	case KEY_TEXT:
	case KEY_LEVEL:
	case KEY_PATH_OR_NONE:
		buf_json(out, *(char *const *)src);
		break;
	case KEY_PATH:
	case KEY_ADDRESS:
		buf_str(out, *(char *const *)src);
		break;
	case KEY_CIDRS:
	case KEY_ORIGINS:
		memcpy(&count, (const char *)c + k->count_offset, sizeof(count));
		put_list(out, src, count);
		break;
	}
}
