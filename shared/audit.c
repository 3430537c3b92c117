#include "shared/audit.h"

#include <stddef.h>
#include <string.h>

#include "shared/clock.h"
#include "shared/mem.h"

enum field_kind { TEXT, JSON, NUMBER };

/* The order of the members in a line, which is part of the schema. */
static const struct field {
	const char *name, *key; /* and as it is written behind another member */
	size_t key_len;
	enum field_kind kind;
	size_t offset, cap;
} fields[] = {
#define F(member, kind, cap)                                                         \
	{                                                                            \
#member, ",\"" #member "\":", sizeof(",\"" #member "\":") - 1, kind, \
			offsetof(struct audit_record, member), cap                   \
	}
#define T(member) F(member, TEXT, sizeof(((struct audit_record *)0)->member))
#define N(member) F(member, NUMBER, 0)
	T(event),
	T(tenant_id),
	T(actor_kind),
	T(actor_id),
	T(actor_name),
	T(key_id),
	T(method),
	T(tool),
	T(snapshot_id),
	T(outcome),
	T(worker_outcome),
	T(request_id),
	T(call_id),
	T(result_sha256),
	T(session_id),
	T(worker_id),
	T(remote_ip),
	T(target),
	F(change, JSON, AUDIT_CHANGE_MAX + 1),
	N(latency_ms),
	N(bytes_in),
	N(bytes_out),
	N(vouch),
	N(outbox_id),
#undef F
#undef T
#undef N
};
#define FIELD_COUNT (sizeof(fields) / sizeof(fields)[0])

void audit_init(struct audit_record *r, const char *event)
{
	memset(r, 0, sizeof(*r));
	str_copy(r->event, sizeof(r->event), event);
	r->latency_ms = r->bytes_in = r->bytes_out = r->vouch = r->outbox_id = -1;
}

static const char *text_at(const struct audit_record *r, const struct field *f)
{
	return (const char *)r + f->offset;
}

static int64_t number_at(const struct audit_record *r, const struct field *f)
{
	int64_t n;

	memcpy(&n, (const char *)r + f->offset, sizeof(n));
	return n;
}

/* A line is one line: the control characters that JSON allows between its tokens are left out. */
static void put_json(struct buf *b, const char *json)
{
	size_t plain;

	for (; *json; json += plain) {
		plain = strcspn(json, "\n\r\t");
		buf_add(b, json, plain);
		plain += json[plain] != '\0';
	}
}

/* Appends the set members, each with a comma before it but the first when bare. */
static void put_members(struct buf *b, const struct audit_record *r, bool first)
{
	for (size_t i = 0; i < FIELD_COUNT; i++) {
		const struct field *f = &fields[i];

		if (f->kind == NUMBER ? number_at(r, f) < 0 : !*text_at(r, f))
			continue;
		buf_add(b, f->key + first, f->key_len - first);
		first = false;
		if (f->kind == NUMBER)
			buf_int(b, number_at(r, f));
		else if (f->kind == JSON)
			put_json(b, text_at(r, f));
		else
			buf_json(b, text_at(r, f));
	}
}

void audit_put(struct buf *b, const struct audit_record *r)
{
	buf_char(b, '{');
	put_members(b, r, true);
	buf_char(b, '}');
}

/* *next is the one to begin with: they nearly always come in the order in which we write them. */
static const struct field *field_named(struct jscan key, size_t *next)
{
	for (size_t i = 0; i < FIELD_COUNT; i++) {
		size_t at = (*next + i) % FIELD_COUNT;

		if (!jscan_is_str(key, fields[at].name))
			continue;
		*next = at + 1;
		return &fields[at];
	}
	return NULL;
}

static enum rc get_one(struct audit_record *r, const struct field *f, struct jscan value)
{
	char *at = (char *)r + f->offset;
	int64_t n;

	switch (f->kind) {
	case TEXT:
		return jscan_str(value, at, f->cap);
	case JSON:
		if (value.kind != JSCAN_OBJECT)
			return RC_INVALID;
		return str_copy_len(at, f->cap, value.p, value.len) ? RC_OK : RC_INVALID;
	default:
		if (jscan_int(value, &n) != RC_OK || n < 0)
			return RC_INVALID;
		memcpy(at, &n, sizeof(n));
		return RC_OK;
	}
}

enum rc audit_get(struct jscan object, struct audit_record *r)
{
	struct audit_record got;
	struct jscan_iter it;
	struct jscan key, value;
	size_t next = 0;

	audit_init(&got, "");
	if (object.kind != JSCAN_OBJECT)
		return RC_INVALID;
	it = jscan_iter(object);
	while (jscan_next(&it, &key, &value)) {
		const struct field *f = field_named(key, &next);

		if (f && get_one(&got, f, value) != RC_OK)
			return RC_INVALID;
	}
	*r = got;
	return RC_OK;
}

void audit_line(struct buf *b, const struct audit_record *r, int64_t seq, int64_t wall_ms,
	const char prev[AUDIT_HASH_LEN + 1])
{
	char ts[CLOCK_TEXT_LEN + 1];

	clock_text(wall_ms, ts);
	buf_str(b, "{\"v\":");
	buf_int(b, AUDIT_VERSION);
	buf_str(b, ",\"seq\":");
	buf_int(b, seq);
	buf_str(b, ",\"ts\":\"");
	buf_add(b, ts, CLOCK_TEXT_LEN);
	buf_char(b, '"');
	put_members(b, r, false);
	buf_str(b, ",\"prev\":\"");
	buf_str(b, prev);
	buf_str(b, "\"}");
}
