#include "shared/manifest.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "shared/text.h"
#include "shared/toolset.h"

#define TOOLS_MAX 1024
#define NAME_MAX_LEN 255

bool manifest_tool_ok(const char *name)
{
	size_t len = text_span(name, "_./-");

	return len >= 1 && len <= MANIFEST_TOOL_MAX && name[len] == '\0';
}

/* --- database URLs ------------------------------------------------------------------ */

static int hex_value(const char *p, size_t left, size_t digits)
{
	int v = 0;

	if (left < digits)
		return -1;
	for (size_t i = 0; i < digits; i++) {
		int c = tolower((unsigned char)p[i]);

		if (!isxdigit(c))
			return -1;
		if (v < 0x10000)
			v = v * 16 + (c <= '9' ? c - '0' : c - 'a' + 10);
	}
	return v;
}

/* One escape of JSON or of a double-quoted YAML scalar; p stands behind the backslash. Returns how
 * many bytes it used; *out gets the character, or 0 when it stands for nothing (YAML's folded
 * line). */
static size_t read_escape(const char *p, size_t left, char *out)
{
	size_t digits = *p == 'x' ? 2 : *p == 'u' ? 4 : *p == 'U' ? 8 : 0;
	int code = digits ? hex_value(p + 1, left - 1, digits) : -1;
	size_t used = 1;

	if (code >= 0) {
		*out = code > 0 && code < 0x80 ? (char)code : '?';
		return 1 + digits;
	}
	*out = *p == 'n' ? '\n' : *p == 't' ? '\t' : *p;
	if (*p == '\n' || *p == '\r') {
		*out = '\0';
		while (used < left && strchr(" \t\r\n", p[used]))
			used++;
	}
	return used;
}

/* The text with its escapes undone, lower case and NUL-terminated, so that no spelling hides a URL.
 * NULL: no memory. */
static char *plain_text(const char *text, size_t len)
{
	char *plain = malloc(len + 1);
	size_t n = 0;

	if (!plain)
		return NULL;
	for (size_t i = 0; i < len;) {
		char c = text[i++];

		if (c == '\\' && i < len)
			i += read_escape(text + i, len - i, &c);
		else if (c == '\0')
			c = ' ';
		if (c != '\0')
			plain[n++] = (char)tolower((unsigned char)c);
	}
	plain[n] = '\0';
	return plain;
}

static bool is_scheme_char(char c)
{
	return isalnum((unsigned char)c) || c == '+' || c == '-' || c == '.';
}

/* Is what stands before "://" the scheme of a database, whatever driver a '+' adds? */
static bool is_database_scheme(const char *start, const char *end)
{
	static const char *const schemes[] = {"postgres", "postgresql", "pgsql", "mysql", "mysqlx",
		"mariadb", "mongodb", "redis", "rediss", "valkey", "valkeys", "sqlserver", "mssql",
		"oracle", "clickhouse", "clickhouses", "snowflake", "duckdb", "cockroachdb",
		"sqlite", "sqlite3"};
	const char *plus = memchr(start, '+', (size_t)(end - start));
	size_t len = (size_t)((plus ? plus : end) - start);

	for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++)
		if (strlen(schemes[i]) == len && !memcmp(start, schemes[i], len))
			return true;
	return false;
}

static bool has_database_scheme(const char *text)
{
	const char *hit = text;

	while ((hit = strstr(hit, "://"))) {
		const char *start = hit;

		while (start > text && is_scheme_char(start[-1]))
			start--;
		if (is_database_scheme(start, hit))
			return true;
		hit += 3;
	}
	return false;
}

/* Schemes that do without the slashes: "jdbc:oracle:thin:@...", "sqlite:data.db". A YAML key has a
 * space after its colon. */
static bool has_opaque_url(const char *text, const char *scheme)
{
	const char *hit = text;
	size_t len = strlen(scheme);

	while ((hit = strstr(hit, scheme))) {
		bool starts_word = hit == text || !is_scheme_char(hit[-1]);
		char next = hit[len];

		if (starts_word &&
			(isalnum((unsigned char)next) || (next && strchr("/.:_~-", next))))
			return true;
		hit += len;
	}
	return false;
}

/* Does the word at [start, end) stand where a key of JSON or YAML stands? */
static bool is_key(const char *text, const char *start, const char *end)
{
	char before = start > text ? start[-1] : '\n';

	if (before == '"' || before == '\'') {
		if (*end != before)
			return false;
		end++;
	} else {
		while (start > text && (start[-1] == ' ' || start[-1] == '\t'))
			start--;
		before = start > text ? start[-1] : '\n';
		if (!strchr("\n\r-{,?[", before))
			return false;
	}
	while (isspace((unsigned char)*end))
		end++;
	return *end == ':';
}

static bool has_key(const char *text, const char *key)
{
	const char *hit = text;

	while ((hit = strstr(hit, key))) {
		const char *end = hit + strlen(key);

		if (is_key(text, hit, end))
			return true;
		hit = end;
	}
	return false;
}

bool manifest_has_database_url(const char *text, size_t len)
{
	char *plain = plain_text(text, len);
	bool found;

	if (!plain)
		return true; /* unseen is refused */
	found = has_database_scheme(plain) || has_opaque_url(plain, "jdbc:") ||
		has_opaque_url(plain, "sqlite:") || has_opaque_url(plain, "sqlite3:") ||
		has_key(plain, "database_url") || has_key(plain, "databaseurl") ||
		has_key(plain, "database-url");
	free(plain);
	return found;
}

/* --- checking -------------------------------------------------------------------------- */

struct complaint {
	char *text;
	size_t cap;
};

static enum rc complain(const struct complaint *why, const char *sentence)
{
	if (why->cap > 0)
		(void)snprintf(why->text, why->cap, "%s", sentence);
	return RC_INVALID;
}

/* The member is absent or of that kind, and there once. */
static bool optional(struct jscan v, const char *name, enum jscan_kind kind)
{
	struct jscan out;
	enum rc rc = jscan_get(v, name, &out);

	return rc == RC_NOTFOUND || (rc == RC_OK && out.kind == kind);
}

static bool has_name(struct jscan v, const char *member)
{
	struct jscan out;
	char text[NAME_MAX_LEN + 1];

	return jscan_get(v, member, &out) == RC_OK && jscan_str(out, text, sizeof(text)) == RC_OK &&
		text_name_ok(text, NAME_MAX_LEN);
}

static enum rc check_tool(
	struct jscan tool, char name[MANIFEST_TOOL_MAX + 1], const struct complaint *why)
{
	struct jscan v;

	if (tool.kind != JSCAN_OBJECT)
		return complain(why, "Every element of tools must be an object.");
	if (jscan_get(tool, "name", &v) != RC_OK ||
		jscan_str(v, name, MANIFEST_TOOL_MAX + 1) != RC_OK || !manifest_tool_ok(name))
		return complain(why,
			"Every tool needs one name of 1 to 64 characters of A-Z a-z 0-9 _ . / -");
	if (jscan_get(tool, "inputSchema", &v) != RC_OK || v.kind != JSCAN_OBJECT)
		return complain(why, "Every tool needs an inputSchema, which must be an object.");
	if (!optional(tool, "title", JSCAN_STRING) ||
		!optional(tool, "description", JSCAN_STRING) ||
		!optional(tool, "outputSchema", JSCAN_OBJECT) ||
		!optional(tool, "annotations", JSCAN_OBJECT) ||
		!optional(tool, "_meta", JSCAN_OBJECT))
		return complain(why, "A member of a tool has the wrong type or is there twice.");
	return RC_OK;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(a, b);
}

static enum rc check_tools(struct jscan tools, const struct complaint *why)
{
	char(*names)[MANIFEST_TOOL_MAX + 1] = calloc(TOOLS_MAX, sizeof(*names));
	struct jscan_iter it = jscan_iter(tools);
	struct jscan key, tool;
	size_t count = 0;
	enum rc rc = names ? RC_OK : RC_INVALID;

	while (rc == RC_OK && jscan_next(&it, &key, &tool)) {
		if (count == TOOLS_MAX)
			rc = complain(why, "There are more than 1024 tools.");
		else
			rc = check_tool(tool, names[count++], why);
	}
	if (rc == RC_OK && count > 1) {
		qsort(names, count, sizeof(*names), compare_names);
		for (size_t i = 1; i < count && rc == RC_OK; i++)
			if (!strcmp(names[i - 1], names[i]))
				rc = complain(why, "Two tools have the same name.");
	}
	free(names);
	return rc;
}

static enum rc check_subject_argument(struct jscan manifest, const struct complaint *why)
{
	struct jscan v;
	char name[MANIFEST_TOOL_MAX + 1];
	enum rc rc = jscan_get(manifest, "subject_argument", &v);

	if (rc == RC_NOTFOUND)
		return RC_OK;
	if (rc != RC_OK || jscan_str(v, name, sizeof(name)) != RC_OK || !*name)
		return complain(why, "subject_argument must be a name of at most 64 bytes.");
	return RC_OK;
}

enum rc manifest_check(const char *text, size_t len, char *why_text, size_t why_cap)
{
	const struct complaint why = {why_text, why_cap};
	struct jscan manifest, v;

	if (manifest_has_database_url(text, len)) {
		(void)complain(
			&why, "The manifest holds something that looks like a database URL.");
		return RC_DENIED;
	}
	if (jscan_parse(text, len, &manifest) != RC_OK || manifest.kind != JSCAN_OBJECT)
		return complain(&why, "The manifest is not a JSON object.");
	if (jscan_get(manifest, "serverInfo", &v) != RC_OK || !has_name(v, "name") ||
		!has_name(v, "version"))
		return complain(&why, "serverInfo must be an object with a name and a version.");
	if (!optional(manifest, "instructions", JSCAN_STRING) ||
		!optional(manifest, "capabilities", JSCAN_OBJECT) ||
		!optional(manifest, "engine", JSCAN_STRING) ||
		!optional(manifest, "limits", JSCAN_OBJECT))
		return complain(&why,
			"instructions, capabilities, engine or limits has the wrong type or is "
			"there twice.");
	if (jscan_get(manifest, "tools", &v) != RC_OK || v.kind != JSCAN_ARRAY)
		return complain(&why, "tools must be an array.");
	if (check_subject_argument(manifest, &why) != RC_OK)
		return RC_INVALID;
	return check_tools(v, &why);
}

/* --- tools ------------------------------------------------------------------------------ */

static struct jscan tools_of(const char *manifest, size_t len)
{
	struct jscan whole, tools = {NULL, 0, JSCAN_NONE};

	if (jscan_parse(manifest, len, &whole) == RC_OK)
		(void)jscan_get(whole, "tools", &tools);
	return tools;
}

static bool on_list(struct jscan allowed, struct jscan name)
{
	struct jscan_iter it = jscan_iter(allowed);
	struct jscan key, value;

	while (jscan_next(&it, &key, &value))
		if (jscan_same_str(value, name))
			return true;
	return false;
}

static bool is_withheld(const struct toolset *withheld, struct jscan name)
{
	char text[MANIFEST_TOOL_MAX + 1];

	return withheld && withheld->count > 0 && jscan_str(name, text, sizeof(text)) == RC_OK &&
		toolset_find(withheld, text);
}

void manifest_tools(struct buf *out, const char *manifest, size_t len, const char *allowed,
	const struct toolset *withheld)
{
	struct jscan_iter it = jscan_iter(tools_of(manifest, len));
	struct jscan list = {NULL, 0, JSCAN_NONE}, key, tool, name;
	bool first = true;

	/* An allow-list that can't be read allows nothing. */
	if (allowed && jscan_parse(allowed, strlen(allowed), &list) != RC_OK)
		list = (struct jscan){NULL, 0, JSCAN_NONE};
	buf_char(out, '[');
	while (jscan_next(&it, &key, &tool)) {
		if (jscan_get(tool, "name", &name) != RC_OK || (allowed && !on_list(list, name)) ||
			is_withheld(withheld, name))
			continue;
		if (!first)
			buf_char(out, ',');
		buf_add(out, tool.p, tool.len);
		first = false;
	}
	buf_char(out, ']');
}

struct jscan manifest_tool(const char *manifest, size_t len, const char *wanted)
{
	struct jscan_iter it = jscan_iter(tools_of(manifest, len));
	struct jscan key, tool, name;

	while (jscan_next(&it, &key, &tool))
		if (jscan_get(tool, "name", &name) == RC_OK && jscan_is_str(name, wanted))
			return tool;
	return (struct jscan){NULL, 0, JSCAN_NONE};
}
