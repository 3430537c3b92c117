#include "shared/msg.h"

#include <stdlib.h>
#include <string.h>

#include "shared/mem.h"
#include "shared/text.h"

/* More members than any message of ours has; bounds the search for repeated ones. */
#define FIELDS_MAX 64
#define BYTES_MAX 256
#define MAC_TAIL_LEN ((size_t)34) /* ,"mac":"<24 characters of base64>"} */

#define X(name) #name,
static const char *const type_names[] = {"UNKNOWN", MSG_TYPE_TABLE(X)};
#undef X
#define TYPE_COUNT (sizeof(type_names) / sizeof(type_names[0]))

const char *msg_type_name(enum msg_type t)
{
	return (size_t)t < TYPE_COUNT ? type_names[t] : type_names[MSG_UNKNOWN];
}

/* --- reading ----------------------------------------------------------------- */

static bool id_ok(const char *id)
{
	size_t len = strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-");

	return len >= 1 && len <= MSG_ID_MAX && id[len] == '\0';
}

static enum rc read_type(struct jscan v, enum msg_type *out)
{
	char name[33];
	size_t len;

	if (jscan_str(v, name, sizeof(name)) != RC_OK)
		return RC_INVALID;
	len = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
	if (len == 0 || name[len] != '\0')
		return RC_INVALID;
	*out = MSG_UNKNOWN;
	for (size_t i = 1; i < TYPE_COUNT; i++)
		if (!strcmp(name, type_names[i]))
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

static enum rc read_header(struct msg *m)
{
	struct jscan keys[FIELDS_MAX], key, value;
	struct jscan_iter it = jscan_iter(m->header);
	size_t count = 0;
	bool typed = false;

	while (jscan_next(&it, &key, &value)) {
		if (count == FIELDS_MAX)
			return RC_INVALID;
		for (size_t i = 0; i < count; i++)
			if (jscan_same_str(keys[i], key))
				return RC_INVALID;
		keys[count++] = key;
		if (read_field(m, key, value, &typed) != RC_OK)
			return RC_INVALID;
	}
	return typed ? RC_OK : RC_INVALID;
}

enum rc msg_parse(const uint8_t *bytes, size_t len, struct msg *out)
{
	size_t look = len <= MSG_HEADER_MAX ? len : MSG_HEADER_MAX + 1;
	const uint8_t *newline = len ? memchr(bytes, '\n', look) : NULL;
	struct msg m = {.type = MSG_UNKNOWN};

	if (!newline)
		return RC_INVALID;
	if (jscan_parse((const char *)bytes, (size_t)(newline - bytes), &m.header) != RC_OK ||
		m.header.kind != JSCAN_OBJECT || read_header(&m) != RC_OK)
		return RC_INVALID;
	m.payload = newline + 1;
	m.payload_len = len - (size_t)(m.payload - bytes);
	*out = m;
	return RC_OK;
}

struct jscan msg_field(const struct msg *m, const char *field)
{
	struct jscan v;

	if (jscan_get(m->header, field, &v) != RC_OK)
		v = (struct jscan){NULL, 0, JSCAN_NONE};
	return v;
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
	buf_printf(b, "{\"t\":\"%s\"", msg_type_name(type));
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
	buf_printf(b, "%lld", (long long)value);
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

	buf_printf(b, ",\"n\":%llu", (unsigned long long)n);
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
