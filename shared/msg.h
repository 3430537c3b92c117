/* msg: the messages of the tunnel and the dispatch socket: one header line of compact JSON, '\n',
 * payload bytes (docs/tunnel-protocol.md). Pure codec: no fd, clock, allocation, log or global on
 * the reading side. */
#ifndef SHARED_MSG_H
#define SHARED_MSG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/buf.h"
#include "shared/crypto.h"
#include "shared/jscan.h"
#include "shared/rc.h"

#define MSG_SUBPROTOCOL "airlock.tunnel.v1"
#define MSG_HEADER_MAX 8192
#define MSG_ID_MAX 64
#define MSG_FIELDS_MAX 64 /* more than any message of ours has */
#define MSG_PART_DEFAULT 131072 /* payload bytes at which senders split */
#define MSG_MAX_DEFAULT (1048576 + MSG_HEADER_MAX) /* a whole message on the wire */
#define MSG_MAC_LEN 16

/* The handshake; calls, on the tunnel and the dispatch socket; the dispatch socket alone
 * (shared/dispatch.h). */
#define MSG_TYPE_TABLE(X) \
	X(CHALLENGE)      \
	X(HELLO)          \
	X(HELLO_ACK)      \
	X(HELLO_NACK)     \
	X(MANIFEST)       \
	X(GOAWAY)         \
	X(CALL)           \
	X(EVENT)          \
	X(REPLY)          \
	X(RESULT)         \
	X(CANCEL)         \
	X(SNAPSHOT)       \
	X(SNAPSHOT_GONE)  \
	X(VOUCH)          \
	X(PING)           \
	X(PONG)           \
	X(AUDIT)          \
	X(AUDIT_OK)       \
	X(FLUSH)          \
	X(FLUSH_OK)       \
	X(SESSIONS)       \
	X(SESSIONS_OK)    \
	X(DETACH)         \
	X(CANCEL_OK)      \
	X(MANIFEST_GET)   \
	X(MANIFEST_OK)    \
	X(MANY)           \
	X(GONE)           \
	X(PLACE_FREE)     \
	X(AUDIT_WATCH)    \
	X(AUDIT_WATCH_OK) \
	X(STAMP)          \
	X(STAMP_OK)       \
	X(CHANGED)        \
	X(LISTEN)         \
	X(LISTEN_OK)      \
	X(WATCH)          \
	X(WATCH_OK)       \
	X(FAIL)

enum msg_type {
	MSG_UNKNOWN, /* a well-formed message of a type we don't know */
#define X(name) MSG_##name,
	MSG_TYPE_TABLE(X)
#undef X
};
const char *msg_type_name(enum msg_type t);

/* A field of a header: where its name and its value are, counted from the header's start. */
struct msg_place {
	uint16_t key, key_len, value, value_len;
};

struct msg {
	enum msg_type type;
	char id[MSG_ID_MAX + 1]; /* "" when absent */
	bool more;
	struct jscan header;
	const uint8_t *payload; /* points into the parsed bytes */
	size_t payload_len;
	uint16_t count; /* of the fields */
	struct msg_place fields[MSG_FIELDS_MAX];
};

/* RC_INVALID: no newline within MSG_HEADER_MAX, header no JSON object, t or id malformed, a
 * repeated field. */
enum rc msg_parse(const uint8_t *bytes, size_t len, struct msg *out) MUST_CHECK;
/* Header fields. RC_NOTFOUND when absent, RC_INVALID when mistyped or too long; dst untouched
 * (strings: "") then. */
enum rc msg_str(const struct msg *m, const char *field, char *dst, size_t cap);
enum rc msg_int(const struct msg *m, const char *field, int64_t *out);
/* Exactly len bytes of base64. */
enum rc msg_bytes(const struct msg *m, const char *field, uint8_t *dst, size_t len);
bool msg_flag(const struct msg *m, const char *field);
struct jscan msg_field(const struct msg *m, const char *field);
/* The i-th field of a header, i < m->count. */
struct jscan msg_key_at(const struct msg *m, size_t i);
struct jscan msg_value_at(const struct msg *m, size_t i);

/* Writing: begin, fields, end. b's sticky failure tells of a header or message that got too long.
 * id may be NULL or "". */
void msg_begin(struct buf *b, enum msg_type type, const char *id);
/* A NULL or empty value leaves the field out. */
void msg_put_str(struct buf *b, const char *field, const char *value);
void msg_put_int(struct buf *b, const char *field, int64_t value);
void msg_put_flag(struct buf *b, const char *field, bool value);
void msg_put_bytes(struct buf *b, const char *field, const void *bytes, size_t len);
/* raw is JSON text. */
void msg_put_json(struct buf *b, const char *field, const char *raw, size_t len);
void msg_end(struct buf *b, const void *payload, size_t len);
/* Ends a header with ,"n":..,"mac":".."} (docs/tunnel-protocol.md, "Session key"). start is where
 * msg_begin() began. */
void msg_end_mac(struct buf *b, size_t start, const uint8_t key[CRYPTO_KEY_LEN], uint64_t n,
	const void *payload, size_t len);
/* Checks it. expected_n is the next number. Constant time. */
bool msg_mac_ok(const struct msg *m, const uint8_t key[CRYPTO_KEY_LEN], uint64_t expected_n);

/* The dispatch socket's framing: a 4-byte big-endian length, then the message. Incremental: give it
 * what has arrived; it says how much to wait for. */
enum frame_status { FRAME_READY, FRAME_NEED_MORE, FRAME_BAD };
#define FRAME_PREFIX 4
/* READY: *body points at the message of *body_len bytes, *used bytes are done with. BAD: longer
 * than max. */
enum frame_status frame_decode(const uint8_t *bytes, size_t len, size_t max, const uint8_t **body,
	size_t *body_len, size_t *used);
/* Room for the length at the end of b; returns where it starts, for frame_close() once the message
 * stands. */
size_t frame_open(struct buf *b);
void frame_close(struct buf *b, size_t start);
/* The same when the message's last elsewhere bytes are not in b. */
void frame_close_with(struct buf *b, size_t start, size_t elsewhere);

/* On a connection with many calls (MANY, shared/dispatch.h) each message stands behind the name of
 * its call, inside the frame: big-endian slot and generation. A slot is used again once its call
 * has ended; the generation tells the calls apart, so that what crosses on the way is nobody
 * else's. */
#define FRAME_REF_LEN 8
struct frame_ref {
	uint32_t slot, generation;
};
struct frame_ref frame_ref_get(const uint8_t bytes[FRAME_REF_LEN]);
void frame_ref_put(uint8_t bytes[FRAME_REF_LEN], struct frame_ref ref);

#endif
