#include "shared/config.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/config_internal.h"
#include "shared/file.h"
#include "shared/firstboot.h"
#include "shared/mem.h"
#include "shared/text.h"

/* The pointers of the struct that are no key of the file: config_key_pointers() knows the others.
 */
static const struct {
	size_t offset;
	size_t count;
} pointers[] = {
	{offsetof(struct config, operator_token), 1},
	{offsetof(struct config, session_secret), 1},
	{offsetof(struct config, public_url), 1},
	{offsetof(struct config, config_path), 1},
	{offsetof(struct config, state_path), 1},
	{offsetof(struct config, import_path), 1},
	{offsetof(struct config, snapshot_dir), 1},
	{offsetof(struct config, origins), CONFIG_ORIGINS_MAX},
};
#define POINTER_COUNT (sizeof(pointers) / sizeof(pointers[0]))

/* What config_open() or the last config_reload() gave: the one that the next reload starts from. */
static const struct config *current;

enum rc config_fail(struct config_error *err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	return RC_INVALID;
}

bool config_bool(const char *text, bool *out)
{
	static const char *const words[] = {"true", "false", "yes", "no", "on", "off", "1", "0"};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (text_equal_nocase(text, words[i])) {
			*out = i % 2 == 0;
			return true;
		}
	}
	return false;
}

bool config_int(const char *text, int64_t min, int64_t max, int64_t *out)
{
	int64_t n = 0;
	size_t len = strlen(text);

	/* 18 digits always fit; no key needs a sign. */
	if (len == 0 || len > 18 || text[strspn(text, "0123456789")] != '\0')
		return false;
	for (; *text; text++)
		n = n * 10 + (*text - '0');
	if (n < min || n > max)
		return false;
	*out = n;
	return true;
}

/* Calls each with every string that the struct owns or has room for. */
static void each_pointer(struct config *c, void (*each)(char **p))
{
	for (size_t i = 0; i < POINTER_COUNT + config_key_count(); i++) {
		size_t offset, count;

		if (i < POINTER_COUNT) {
			offset = pointers[i].offset;
			count = pointers[i].count;
		} else {
			count = config_key_pointers(i - POINTER_COUNT, &offset);
		}
		for (size_t j = 0; j < count; j++)
			each(&((char **)(void *)((char *)c + offset))[j]);
	}
}

static void free_pointer(char **p)
{
	mem_free_secret(*p);
}

static void copy_pointer(char **p)
{
	if (*p)
		*p = xstrdup(*p);
}

void config_clear(struct config *c)
{
	each_pointer(c, free_pointer);
	memset(c, 0, sizeof(*c));
}

void config_free(struct config *c)
{
	if (!c)
		return;
	if (current == c)
		current = NULL;
	config_clear(c);
	free(c);
}

static struct config *copy(const struct config *old)
{
	struct config *c = xmalloc(sizeof(*c));

	*c = *old;
	each_pointer(c, copy_pointer);
	return c;
}

/* dir of beside, a slash, name; the caller frees it. */
static char *sibling(const char *beside, const char *name)
{
	struct buf b;
	const char *slash = strrchr(beside, '/');

	buf_init(&b, SIZE_MAX);
	if (slash)
		buf_add(&b, beside, (size_t)(slash - beside) + 1);
	buf_str(&b, name);
	char *path = buf_steal(&b);
	if (!path)
		die("out of memory");
	return path;
}

static bool ends_with(const char *s, const char *end)
{
	size_t len = strlen(s);

	return len >= strlen(end) && text_equal_nocase(s + len - strlen(end), end);
}

void config_derive(struct config *c)
{
	if (!c->state_path) {
		c->state_path = sibling(c->audit_log_path, "state.db");
	} else if (ends_with(c->state_path, ".yaml") || ends_with(c->state_path, ".yml")) {
		c->import_path = c->state_path;
		c->state_path = sibling(c->import_path, "state.db");
	}
}

static enum rc load_file(struct config *c, const char *path, struct config_error *err)
{
	char *text;
	size_t len;
	enum rc rc = file_read(path, CONFIG_FILE_MAX, &text, &len);

	if (rc == RC_LIMIT)
		return config_fail(err, "%s: longer than %d bytes", path, CONFIG_FILE_MAX);
	if (rc != RC_OK)
		return config_fail(
			err, "can't read %s: %s; check AIRLOCK_CP_CONFIG", path, strerror(errno));
	rc = config_load_yaml(c, path, text, len, err);
	free(text);
	return rc;
}

static void log_warnings(struct buf *warnings)
{
	char *text = buf_steal(warnings);
	char *rest = text;
	char *line;

	while (rest && (line = strsep(&rest, "\n"))) {
		if (*line)
			log_warn("%s", line);
	}
	free(text);
}

const struct config *config_open(void)
{
	struct config *c = xcalloc(1, sizeof(*c));
	struct config_error err;
	struct buf warnings;

	buf_init(&warnings, 65536);
	if (config_load_env(c, environ, &warnings, &err) != RC_OK)
		die("%s", err.text);
	config_hide_secrets(environ);
	if (firstboot_config(c->config_path) != RC_OK)
		die("can't make %s: %s; check AIRLOCK_CP_CONFIG and the volume", c->config_path,
			strerror(errno));
	if (load_file(c, c->config_path, &err) != RC_OK)
		die("%s", err.text);
	config_derive(c);
	log_set_level(c->log_level);
	log_warnings(&warnings);
	current = c;
	return c;
}

/* Says which keys of the file were changed without being taken over. */
enum rc config_try(const char *text, size_t len, struct config *c, struct buf *warnings,
	struct config_error *err)
{
	enum rc rc;

	memset(c, 0, sizeof(*c));
	rc = config_load_env(c, environ, warnings, err);
	if (rc == RC_OK)
		rc = text ? config_load_yaml(c, c->config_path, text, len, err)
			  : load_file(c, c->config_path, err);
	if (rc == RC_OK)
		config_derive(c);
	return rc;
}

static void warn_unapplied(const struct config *old, const struct config *new)
{
	struct buf name;
	struct buf before;
	struct buf after;

	buf_init(&name, 256);
	buf_init(&before, 65536);
	buf_init(&after, 65536);
	for (size_t i = 0; i < config_key_count(); i++) {
		buf_reset(&name);
		buf_reset(&before);
		buf_reset(&after);
		config_key_name(i, &name);
		config_key_value(old, i, &before);
		config_key_value(new, i, &after);
		if (before.len != after.len || memcmp(before.data, after.data, after.len) != 0)
			log_warn("%.*s was changed in %s: restart to apply it", (int)name.len,
				(const char *)name.data, old->config_path);
	}
	buf_free(&name);
	buf_free(&before);
	buf_free(&after);
}

/* Swaps the two lists that a reload replaces; what c had goes to other and is freed with it. */
static void swap_lists(char *a[], char *b[], int *a_count, int *b_count)
{
	int count = *a_count;

	for (int i = 0; i < CONFIG_ORIGINS_MAX; i++) {
		char *p = a[i];

		a[i] = b[i];
		b[i] = p;
	}
	*a_count = *b_count;
	*b_count = count;
}

static void take_reloadable(struct config *c, struct config *from)
{
	char *name = c->log_level_name;

	c->log_level = from->log_level;
	c->log_level_name = from->log_level_name;
	from->log_level_name = name;
	swap_lists(c->origins, from->origins, &c->origin_count, &from->origin_count);
	swap_lists(c->allowed_origins, from->allowed_origins, &c->allowed_origin_count,
		&from->allowed_origin_count);
}

struct config *config_reload(void)
{
	struct config fresh = {0};
	struct config_error err;

	if (!current)
		return NULL;
	enum rc rc = config_load_env_reloadable(&fresh, environ, &err);
	if (rc == RC_OK)
		rc = load_file(&fresh, current->config_path, &err);
	if (rc != RC_OK) {
		log_err("nothing was reloaded: %s", err.text);
		config_clear(&fresh);
		return NULL;
	}
	struct config *c = copy(current);
	take_reloadable(c, &fresh);
	/* fresh holds the old reloadable keys now, so that what still differs is what was not taken
	 * over. */
	warn_unapplied(current, &fresh);
	config_clear(&fresh);
	log_set_level(c->log_level);
	current = c;
	return c;
}

void config_describe(const struct config *c, struct buf *out)
{
	for (size_t i = 0; i < config_key_count(); i++) {
		config_key_name(i, out);
		buf_str(out, ": ");
		config_key_value(c, i, out);
		buf_char(out, '\n');
	}
}

enum rc config_socket_path(const struct config *c, const char *name, char out[108])
{
	int n = snprintf(out, 108, "%s/%s", c->run_dir, name);

	return n > 0 && n < 108 ? RC_OK : RC_LIMIT;
}
