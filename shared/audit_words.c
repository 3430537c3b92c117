#include "shared/audit_words.h"

#include <string.h>

#include "shared/jscan.h"

#define NO_KIND (-1)
/* audit.h bounds change; a deeper one is not ours. */
#define DEPTH_MAX 8

/* The members that can be searched. What is not here is no word: hashes, signatures, numbers. */
#define MEMBER(name, kind)                   \
	{                                    \
		name, sizeof(name) - 1, kind \
	}
static const struct member {
	const char *name;
	size_t len;
	int kind; /* besides the words of its text */
} members[] = {
	MEMBER("event", AUDIT_WORD_EVENT),
	MEMBER("tenant_id", AUDIT_WORD_TENANT),
	MEMBER("actor_kind", AUDIT_WORD_ACTOR),
	MEMBER("actor_id", AUDIT_WORD_ACTOR),
	MEMBER("actor_name", AUDIT_WORD_ACTOR),
	MEMBER("key_id", AUDIT_WORD_ACTOR),
	MEMBER("method", NO_KIND),
	MEMBER("tool", AUDIT_WORD_TOOL),
	MEMBER("snapshot_id", NO_KIND),
	MEMBER("outcome", AUDIT_WORD_OUTCOME),
	MEMBER("request_id", NO_KIND),
	MEMBER("session_id", NO_KIND),
	MEMBER("worker_id", NO_KIND),
	MEMBER("remote_ip", NO_KIND),
	MEMBER("target", NO_KIND),
	MEMBER("change", NO_KIND),
};

struct walk {
	audit_word_fn visit;
	void *ctx;
	char text[AUDIT_WORD_MAX + 1];
};

/* White space, control characters, quotes, brackets and what else stands between words. */
static bool parts(unsigned char c)
{
#define BIT(c) (UINT32_C(1) << ((c) % 32))
	static const uint32_t bits[8] = {
		UINT32_MAX,
		BIT(' ') | BIT('!') | BIT('"') | BIT('&') | BIT('\'') | BIT('(') | BIT(')') |
			BIT(',') | BIT(';') | BIT('<') | BIT('=') | BIT('>') | BIT('?'),
		BIT('[') | BIT(']'),
		BIT('{') | BIT('|') | BIT('}') | BIT(0x7F),
	};
#undef BIT

	return bits[c / 32] & UINT32_C(1) << (c % 32);
}

/* "Inc." is the word inc: punctuation at an end belongs to the sentence. */
static bool trimmed(char c)
{
	return c == '.' || c == ':';
}

static bool visit_trimmed(const char *start, const char *end, audit_word_fn visit, void *ctx)
{
	char word[AUDIT_WORD_MAX];
	size_t len;

	while (start < end && trimmed(*start))
		start++;
	while (end > start && trimmed(end[-1]))
		end--;
	len = (size_t)(end - start);
	if (len == 0 || len > sizeof(word))
		return true;
	for (size_t i = 0; i < len; i++)
		word[i] = audit_word_lower(start[i]);
	return visit(ctx, AUDIT_WORD_TEXT, word, len);
}

bool audit_words_of_text(const char *text, size_t len, audit_word_fn visit, void *ctx)
{
	const char *end = text + len;

	while (text < end) {
		const char *start;

		while (text < end && parts((unsigned char)*text))
			text++;
		start = text;
		while (text < end && !parts((unsigned char)*text))
			text++;
		if (!visit_trimmed(start, text, visit, ctx))
			return false;
	}
	return true;
}

/* "key.*" of "key.revoke". */
static bool visit_group(const struct walk *w, const char *event)
{
	const char *dot = strchr(event, '.');
	char group[AUDIT_WORD_MAX + 1];
	size_t len;

	if (!dot)
		return true;
	len = (size_t)(dot - event) + 1;
	memcpy(group, event, len);
	group[len] = '*';
	return w->visit(w->ctx, AUDIT_WORD_EVENT, group, len + 1);
}

static bool visit_text(struct walk *w, int kind, struct jscan value)
{
	size_t len;

	if (jscan_str(value, w->text, sizeof(w->text)) != RC_OK)
		return true;
	len = strlen(w->text);
	if (kind != NO_KIND && !w->visit(w->ctx, (enum audit_word_kind)kind, w->text, len))
		return false;
	if (kind == AUDIT_WORD_EVENT && len < AUDIT_WORD_MAX && !visit_group(w, w->text))
		return false;
	return audit_words_of_text(w->text, len, w->visit, w->ctx);
}

static bool visit_value(struct walk *w, int kind, struct jscan value, int depth)
{
	struct jscan_iter it;
	struct jscan key, inner;

	if (value.kind == JSCAN_STRING)
		return visit_text(w, kind, value);
	if ((value.kind != JSCAN_OBJECT && value.kind != JSCAN_ARRAY) || depth == DEPTH_MAX)
		return true;
	it = jscan_iter(value);
	while (jscan_next(&it, &key, &inner))
		if (!visit_value(w, NO_KIND, inner, depth + 1))
			return false;
	return true;
}

static bool is_named(struct jscan key, bool escapes, const struct member *m)
{
	if (escapes)
		return jscan_is_str(key, m->name);
	return key.len == m->len + 2 && memcmp(key.p + 1, m->name, m->len) == 0;
}

static const struct member *member_named(struct jscan key)
{
	bool escapes = memchr(key.p, '\\', key.len) != NULL;

	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
		if (is_named(key, escapes, &members[i]))
			return &members[i];
	return NULL;
}

bool audit_words(const char *line, size_t len, audit_word_fn visit, void *ctx)
{
	struct walk w = {.visit = visit, .ctx = ctx};
	struct jscan row, key, value;
	struct jscan_iter it;

	if (jscan_parse(line, len, &row) != RC_OK || row.kind != JSCAN_OBJECT)
		return false;
	it = jscan_iter(row);
	while (jscan_next(&it, &key, &value)) {
		const struct member *m = member_named(key);

		if (m && !visit_value(&w, m->kind, value, 0))
			return false;
	}
	return true;
}

/* FNV-1a and a finalizer: nothing depends on it but speed. */
uint32_t audit_word_hash(enum audit_word_kind kind, const char *word, size_t len)
{
	uint64_t h = UINT64_C(0xCBF29CE484222325);

	for (size_t i = 0; i < len; i++)
		h = (h ^ (unsigned char)word[i]) * UINT64_C(0x100000001B3);
	h ^= h >> 32;
	h *= UINT64_C(0xD6E8FEB86659FD93);
	h ^= h >> 32;
	return ((uint32_t)kind << 29) | ((uint32_t)h & 0x1FFFFFFFU);
}
