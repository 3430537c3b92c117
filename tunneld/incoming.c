#include "tunneld/incoming.h"

#include <stdlib.h>
#include <string.h>

#include "shared/mem.h"

void incoming_init(struct incoming *in)
{
	*in = (struct incoming){.state = INCOMING_NONE};
	buf_init(&in->held, MSG_MAX_DEFAULT);
}

void incoming_reset(struct incoming *in)
{
	buf_free(&in->held);
	free(in->head);
	in->head = NULL;
	in->state = INCOMING_NONE;
	in->total = 0;
}

static enum incoming_status hold(struct incoming *in, const uint8_t *bytes, size_t len)
{
	buf_add(&in->held, bytes, len);
	return in->held.failed ? INCOMING_TOO_LONG : INCOMING_WAITS;
}

static enum incoming_status whole(const uint8_t *bytes, size_t len, struct msg *out)
{
	return msg_parse(bytes, len, out) == RC_OK ? INCOMING_MESSAGE : INCOMING_BAD;
}

/* All that has come of a message are these bytes, which are held already or not. Once its header is
 * there, it is known what to do with it. */
static enum incoming_status look(
	struct incoming *in, const uint8_t *bytes, size_t len, bool held, struct msg *out)
{
	struct msg m;

	if (len <= MSG_HEADER_MAX && !memchr(bytes, '\n', len))
		in->state = INCOMING_HEADER;
	else if (msg_parse(bytes, len, &m) != RC_OK)
		return INCOMING_BAD;
	else
		in->state = m.type == MSG_RESULT || m.type == MSG_EVENT ? INCOMING_PASSED
									: INCOMING_HELD;
	if (in->state != INCOMING_PASSED)
		return held ? INCOMING_WAITS : hold(in, bytes, len);
	if (!held && hold(in, bytes, (size_t)(m.payload - bytes)) != INCOMING_WAITS)
		return INCOMING_TOO_LONG;
	*out = m;
	out->more = true;
	m.header.p = (const char *)in->held.data + (m.header.p - (const char *)bytes);
	in->head = xmalloc(sizeof(m));
	*in->head = m;
	return INCOMING_MESSAGE;
}

static enum incoming_status next_part(
	struct incoming *in, const uint8_t *bytes, size_t len, bool last, struct msg *out)
{
	if (len == 0 && !last)
		return INCOMING_WAITS;
	*out = *in->head;
	out->payload = bytes;
	out->payload_len = len;
	out->more = out->more || !last;
	return INCOMING_MESSAGE;
}

enum incoming_status incoming_add(
	struct incoming *in, const uint8_t *bytes, size_t len, bool last, struct msg *out)
{
	if (len > MSG_MAX_DEFAULT - in->total)
		return INCOMING_TOO_LONG;
	in->total += len;
	if (in->state == INCOMING_PASSED)
		return next_part(in, bytes, len, last, out);
	if (in->state == INCOMING_NONE)
		return last ? whole(bytes, len, out) : look(in, bytes, len, false, out);
	if (hold(in, bytes, len) != INCOMING_WAITS)
		return INCOMING_TOO_LONG;
	if (last)
		return whole(in->held.data, in->held.len, out);
	return in->state == INCOMING_HELD ? INCOMING_WAITS
					  : look(in, in->held.data, in->held.len, true, out);
}
