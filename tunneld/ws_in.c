#include "tunneld/ws_in.h"

#include <string.h>

#define FIN 0x80
#define RESERVED 0x70
#define OPCODE 0x0f
#define CONTROL 0x08
#define MASKED 0x80
#define LENGTH 0x7f

enum opcode { CONTINUATION = 0, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10 };

static bool is_control(const struct ws_in *in)
{
	return in->head[0] & CONTROL;
}

static size_t length_len(const struct ws_in *in)
{
	switch (in->head[1] & LENGTH) {
	case 127:
		return 8;
	case 126:
		return 2;
	default:
		return 0;
	}
}

/* How long the head is, as far as it is known. */
static size_t head_need(const struct ws_in *in)
{
	return in->head_len < 2 ? 2 : 2 + length_len(in) + WS_MASK_LEN;
}

/* Takes bytes of the head; returns how many. */
static size_t take_head(struct ws_in *in, const uint8_t *bytes, size_t len)
{
	size_t at = 0;

	while (at < len && in->head_len < head_need(in))
		in->head[in->head_len++] = bytes[at++];
	in->payload = in->head_len >= 2 && in->head_len == head_need(in);
	return at;
}

/* False: it is longer than a length can be. One that is not in its shortest form does no harm. */
static bool read_length(struct ws_in *in)
{
	size_t n = length_len(in);

	in->left = n ? 0 : in->head[1] & LENGTH;
	for (size_t i = 0; i < n; i++)
		in->left = in->left << 8 | in->head[2 + i];
	return in->left <= INT64_MAX;
}

/* May this frame come now? */
static bool head_ok(struct ws_in *in)
{
	bool fin = in->head[0] & FIN;

	if ((in->head[0] & RESERVED) || !(in->head[1] & MASKED) || !read_length(in))
		return false;
	switch (in->head[0] & OPCODE) {
	case CONTINUATION:
		return in->message;
	case BINARY:
		return !in->message;
	case CLOSE:
		return fin && in->left <= WS_IN_CONTROL_MAX && in->left != 1;
	case PING:
	case PONG:
		return fin && in->left <= WS_IN_CONTROL_MAX;
	default: /* text, too */
		return false;
	}
}

static void end_frame(struct ws_in *in)
{
	in->payload = false;
	in->head_len = 0;
}

static const uint8_t *mask_of(const struct ws_in *in)
{
	return in->head + in->head_len - WS_MASK_LEN;
}

static enum ws_in_event take_control(
	struct ws_in *in, const uint8_t *bytes, size_t len, struct ws_piece *out)
{
	ws_mask(in->control + in->control_len, bytes, len, mask_of(in), in->phase);
	in->control_len = (uint8_t)(in->control_len + len);
	in->phase += len;
	if (in->left > 0)
		return WS_IN_WAITS;
	*out = (struct ws_piece){in->control, in->control_len, true};
	end_frame(in);
	switch (in->head[0] & OPCODE) {
	case PING:
		return WS_IN_PING;
	case PONG:
		return WS_IN_PONG;
	default:
		return WS_IN_CLOSE;
	}
}

static enum ws_in_event take_data(
	struct ws_in *in, uint8_t *bytes, size_t len, struct ws_piece *out)
{
	ws_mask(bytes, bytes, len, mask_of(in), in->phase);
	in->phase += len;
	*out = (struct ws_piece){bytes, len, in->left == 0 && (in->head[0] & FIN)};
	if (in->left == 0) {
		in->message = !out->last;
		end_frame(in);
	}
	return len > 0 || out->last ? WS_IN_PIECE : WS_IN_WAITS;
}

static enum ws_in_event take_payload(
	struct ws_in *in, uint8_t *bytes, size_t len, size_t *used, struct ws_piece *out)
{
	size_t n = len < in->left ? len : (size_t)in->left;

	in->left -= n;
	*used += n;
	return is_control(in) ? take_control(in, bytes, n, out) : take_data(in, bytes, n, out);
}

enum ws_in_event ws_in_next(
	struct ws_in *in, uint8_t *bytes, size_t len, size_t *used, struct ws_piece *out)
{
	enum ws_in_event event = WS_IN_WAITS;

	*used = 0;
	while (event == WS_IN_WAITS) {
		if (!in->payload) {
			*used += take_head(in, bytes + *used, len - *used);
			if (!in->payload)
				return WS_IN_WAITS;
			if (!head_ok(in))
				return WS_IN_BAD;
			in->phase = 0;
			in->control_len = 0;
		} else if (*used == len && in->left > 0) {
			return WS_IN_WAITS;
		}
		event = take_payload(in, bytes + *used, len - *used, used, out);
	}
	return event;
}
