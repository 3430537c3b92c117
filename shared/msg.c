#include "shared/msg.h"

#include <stdlib.h>
#include <string.h>

#include "shared/mem.h"
#include "shared/text.h"

#define BYTES_MAX 256
#define MAC_TAIL_LEN ((size_t)34) /* ,"mac":"<24 characters of base64>"} */

#define X(name) {#name, sizeof(#name) - 1},
static const struct {
	const char *name;
	size_t len;
} types[] = {{"UNKNOWN", 7}, MSG_TYPE_TABLE(X)};
#undef X
#define TYPE_COUNT (sizeof(types) / sizeof(types[0]))
#define TYPE_LEN_MAX 32

const char *msg_type_name(enum msg_type t)
{
	return types[(size_t)t < TYPE_COUNT ? t : MSG_UNKNOWN].name;
}

/* --- reading ----------------------------------------------------------------- */

static bool is_upper(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

static bool id_ok(const char *id)
{
	const char *p = id;

	while (is_upper(*p) || (*p >= 'a' && *p <= 'z') || *p == '-')
		p++;
	return p > id && p - id <= MSG_ID_MAX && !*p;
}

static enum rc read_type(struct jscan v, enum msg_type *out)
{
	char name[TYPE_LEN_MAX + 1];
	size_t len = 0;

	if (jscan_str(v, name, sizeof(name)) != RC_OK)
		return RC_INVALID;
	while (is_upper(name[len]))
		len++;
	if (len == 0 || name[len] != '\0')
		return RC_INVALID;
	*out = MSG_UNKNOWN;
	for (size_t i = 1; i < TYPE_COUNT; i++)
		if (types[i].len == len && !memcmp(name, types[i].name, len))
			*out = (enum msg_type)i;
	return RC_OK;
}

static enum rc read_field(struct msg *m, struct jscan key, struct jscan value, bool *typed)
{
	if (jscan_is_str(key, "t")) {
		*typed = true;
		return read_type(value, &m->type);
	}
	if (jscan_is_str(key, "id")) {
		if (jscan_str(value, m->id, sizeof(m->id)) != RC_OK || !id_ok(m->id))
			return RC_INVALID;
	} else if (jscan_is_str(key, "more")) {
		if (value.kind != JSCAN_TRUE && value.kind != JSCAN_FALSE)
			return RC_INVALID;
		m->more = value.kind == JSCAN_TRUE;
	}
	return RC_OK;
}

struct jscan msg_key_at(const struct msg *m, size_t i)
{
	return (struct jscan){m->header.p + m->fields[i].key, m->fields[i].key_len, JSCAN_STRING};
}

struct jscan msg_value_at(const struct msg *m, size_t i)
{
	return jscan_checked(m->header.p + m->fields[i].value, m->fields[i].value_len);
}

/* Which names there have been: a set of bits, in which two names may share one. Names that are
 * spelt with escapes share one with all. */
struct names {
	uint64_t seen;
	bool escaped;
};

/* May there have been one like it? */
static bool may_repeat(struct names *n, struct jscan key)
{
	uint64_t bit = UINT64_C(1) << ((key.len + 5 * (size_t)(uint8_t)key.p[1] +
					       7 * (size_t)(uint8_t)key.p[key.len - 2]) %
			       64);
	bool seen = n->seen & bit;

	n->seen |= bit;
	n->escaped = n->escaped || memchr(key.p, '\\', key.len);
	return seen || n->escaped;
}

static bool is_repeated(const struct msg *m, struct jscan key)
{
	for (size_t i = 0; i < m->count; i++)
		if (jscan_same_str(msg_key_at(m, i), key))
			return true;
	return false;
}

/* False: there are too many, or one like it. A header is shorter than what two bytes can count. */
static bool keep_field(struct msg *m, struct names *names, struct jscan key, struct jscan value)
{
	if (m->count == MSG_FIELDS_MAX || (may_repeat(names, key) && is_repeated(m, key)))
		return false;
	m->fields[m->count++] = (struct msg_place){(uint16_t)(key.p - m->header.p),
		(uint16_t)key.len, (uint16_t)(value.p - m->header.p), (uint16_t)value.len};
	return true;
}

static enum rc read_header(struct msg *m, const char *text, size_t len)
{
	struct jscan_reader r = jscan_reader(text, len);
	struct jscan key, value, whole;
	struct names names = {0, false};
	bool typed = false;
	enum rc rc;

	while ((rc = jscan_read(&r, &key, &value, &whole)) == RC_OK) {
		m->header.p = r.start;
		if (!keep_field(m, &names, key, value) ||
			read_field(m, key, value, &typed) != RC_OK)
			return RC_INVALID;
	}
	if (rc != RC_NOTFOUND || !typed)
		return RC_INVALID;
	m->header = whole;
	return RC_OK;
}

enum rc msg_parse(const uint8_t *bytes, size_t len, struct msg *out)
{
	size_t look = len <= MSG_HEADER_MAX ? len : MSG_HEADER_MAX + 1;
	const uint8_t *newline = len ? memchr(bytes, '\n', look) : NULL;
	struct msg m;

	if (!newline)
		return RC_INVALID;
	m.type = MSG_UNKNOWN;
	m.id[0] = '\0';
	m.more = false;
	m.count = 0;
	if (read_header(&m, (const char *)bytes, (size_t)(newline - bytes)) != RC_OK)
		return RC_INVALID;
	m.payload = newline + 1;
	m.payload_len = len - (size_t)(m.payload - bytes);
	*out = m;
	return RC_OK;
}

struct jscan msg_field(const struct msg *m, const char *field)
{
	for (size_t i = 0; i < m->count; i++)
		if (jscan_is_str(msg_key_at(m, i), field))
			return msg_value_at(m, i);
	return (struct jscan){NULL, 0, JSCAN_NONE};
}

enum rc msg_str(const struct msg *m, const char *field, char *dst, size_t cap)
{
	struct jscan v = msg_field(m, field);

	if (cap > 0)
		dst[0] = '\0';
	return v.kind == JSCAN_NONE ? RC_NOTFOUND : jscan_str(v, dst, cap);
}

enum rc msg_int(const struct msg *m, const char *field, int64_t *out)
{
	struct jscan v = msg_field(m, field);

	return v.kind == JSCAN_NONE ? RC_NOTFOUND : jscan_int(v, out);
}

enum rc msg_bytes(const struct msg *m, const char *field, uint8_t *dst, size_t len)
{
	struct jscan v = msg_field(m, field);
	char text[TEXT_B64_LEN(BYTES_MAX) + 1];
	uint8_t bytes[BYTES_MAX];
	size_t got;
	enum rc rc = RC_INVALID;

	if (v.kind == JSCAN_NONE)
		return RC_NOTFOUND;
	if (len <= BYTES_MAX && jscan_str(v, text, sizeof(text)) == RC_OK &&
		text_unb64(text, strlen(text), bytes, len, &got) == RC_OK && got == len) {
		memcpy(dst, bytes, len);
		rc = RC_OK;
	}
	return rc;
}

bool msg_flag(const struct msg *m, const char *field)
{
	return msg_field(m, field).kind == JSCAN_TRUE;
}

/* --- writing ----------------------------------------------------------------- */

void msg_begin(struct buf *b, enum msg_type type, const char *id)
{
	b->mark = b->len;
	buf_str(b, "{\"t\":\"");
	buf_str(b, msg_type_name(type));
	buf_char(b, '"');
	msg_put_str(b, "id", id);
}

static void put_name(struct buf *b, const char *field)
{
	buf_str(b, ",\"");
	buf_str(b, field);
	buf_str(b, "\":");
}

void msg_put_str(struct buf *b, const char *field, const char *value)
{
	if (!value || !*value)
		return;
	put_name(b, field);
	buf_json(b, value);
}

void msg_put_int(struct buf *b, const char *field, int64_t value)
{
	put_name(b, field);
	buf_int(b, value);
}

void msg_put_flag(struct buf *b, const char *field, bool value)
{
	put_name(b, field);
	buf_str(b, value ? "true" : "false");
}

void msg_put_bytes(struct buf *b, const char *field, const void *bytes, size_t len)
{
	char text[TEXT_B64_LEN(BYTES_MAX) + 1];

	if (len > BYTES_MAX) {
		b->failed = true;
		return;
	}
	text_b64(bytes, len, text);
	put_name(b, field);
	buf_char(b, '"');
	buf_str(b, text);
	buf_char(b, '"');
}

void msg_put_json(struct buf *b, const char *field, const char *raw, size_t len)
{
	put_name(b, field);
	buf_add(b, raw, len);
}

void msg_end(struct buf *b, const void *payload, size_t len)
{
	buf_char(b, '}');
	if (b->len - b->mark > MSG_HEADER_MAX)
		b->failed = true;
	buf_char(b, '\n');
	if (len > 0)
		buf_add(b, payload, len);
}

/* --- the MAC of what the CP sends ---------------------------------------------- */

/* crypto.h hashes one piece of memory, and the MAC leaves a gap out of the message: hence the copy.
 */
static bool mac_make(const uint8_t key[CRYPTO_KEY_LEN], const void *header, size_t header_len,
	const void *payload, size_t payload_len, uint8_t mac[MSG_MAC_LEN])
{
	uint8_t full[CRYPTO_HASH_LEN];
	uint8_t *copy = malloc(header_len + 1 + payload_len);

	if (!copy)
		return false;
	memcpy(copy, header, header_len);
	copy[header_len] = '\n';
	if (payload_len > 0)
		memcpy(copy + header_len + 1, payload, payload_len);
	crypto_blake2b(key, CRYPTO_KEY_LEN, copy, header_len + 1 + payload_len, full);
	free(copy);
	memcpy(mac, full, MSG_MAC_LEN);
	return true;
}

void msg_end_mac(struct buf *b, size_t start, const uint8_t key[CRYPTO_KEY_LEN], uint64_t n,
	const void *payload, size_t len)
{
	uint8_t mac[MSG_MAC_LEN];

	msg_put_int(b, "n", (int64_t)n);
	if (b->failed)
		return;
	if (!mac_make(key, b->data + start, b->len - start, payload, len, mac)) {
		b->failed = true;
		return;
	}
	msg_put_bytes(b, "mac", mac, sizeof(mac));
	b->mark = start;
	msg_end(b, payload, len);
}

bool msg_mac_ok(const struct msg *m, const uint8_t key[CRYPTO_KEY_LEN], uint64_t expected_n)
{
	static const char tail[] = ",\"mac\":\"";
	uint8_t given[MSG_MAC_LEN], right[MSG_MAC_LEN];
	size_t covered;
	int64_t n;

	/* The MAC covers what precedes it, so it must be the header's end, spelt as documented. */
	if (m->header.len <= MAC_TAIL_LEN)
		return false;
	covered = m->header.len - MAC_TAIL_LEN;
	if (memcmp(m->header.p + covered, tail, sizeof(tail) - 1) != 0 ||
		msg_int(m, "n", &n) != RC_OK || n < 0 || (uint64_t)n != expected_n ||
		msg_bytes(m, "mac", given, sizeof(given)) != RC_OK)
		return false;
	return mac_make(key, m->header.p, covered, m->payload, m->payload_len, right) &&
		crypto_equal(given, sizeof(given), right, sizeof(right));
}

/* --- framing -------------------------------------------------------------------- */

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void put32(uint8_t *p, uint32_t n)
{
	p[0] = (uint8_t)(n >> 24);
	p[1] = (uint8_t)(n >> 16);
	p[2] = (uint8_t)(n >> 8);
	p[3] = (uint8_t)n;
}

enum frame_status frame_decode(const uint8_t *bytes, size_t len, size_t max, const uint8_t **body,
	size_t *body_len, size_t *used)
{
	uint32_t size;

	if (len < FRAME_PREFIX)
		return FRAME_NEED_MORE;
	size = get32(bytes);
	if (size > max)
		return FRAME_BAD;
	if (len - FRAME_PREFIX < size)
		return FRAME_NEED_MORE;
	*body = bytes + FRAME_PREFIX;
	*body_len = size;
	*used = FRAME_PREFIX + (size_t)size;
	return FRAME_READY;
}

size_t frame_open(struct buf *b)
{
	static const uint8_t zero[FRAME_PREFIX];
	size_t start = b->len;

	buf_add(b, zero, sizeof(zero));
	return start;
}

void frame_close(struct buf *b, size_t start)
{
	frame_close_with(b, start, 0);
}

void frame_close_with(struct buf *b, size_t start, size_t elsewhere)
{
	size_t size = b->len - start - FRAME_PREFIX + elsewhere;

	if (b->failed)
		return;
	if (size > UINT32_MAX) {
		b->failed = true;
		return;
	}
	put32(b->data + start, (uint32_t)size);
}

struct frame_ref frame_ref_get(const uint8_t bytes[FRAME_REF_LEN])
{
	return (struct frame_ref){get32(bytes), get32(bytes + 4)};
}

void frame_ref_put(uint8_t bytes[FRAME_REF_LEN], struct frame_ref ref)
{
	put32(bytes, ref.slot);
	put32(bytes + 4, ref.generation);
}
