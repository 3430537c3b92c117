#include "tunneld/stamp.h"

#include "shared/clock.h"
#include "tunneld/audit_writer.h"

static bool get_hash(const struct msg *m, const char *field, uint8_t hash[CRYPTO_HASH_LEN])
{
	return msg_bytes(m, field, hash, CRYPTO_HASH_LEN) == RC_OK;
}

bool stamp_sign(
	const struct hub *hub, const struct msg *m, int64_t wall_ms, struct audit_stamp *out)
{
	struct audit_stamp s = {.end = msg_flag(m, "end")};
	struct audit_stats audit;

	if (msg_int(m, "from", &s.from) != RC_OK || msg_int(m, "seq", &s.seq) != RC_OK ||
		msg_int(m, "lines", &s.lines) != RC_OK || !get_hash(m, "runs", s.runs_hash) ||
		!get_hash(m, "header", s.header) || !get_hash(m, "digest", s.digest) ||
		!get_hash(m, "prev", s.prev))
		return false;
	audit_writer_stats(hub->audit, &audit);
	if (s.from < 1 || s.seq < s.from || s.seq > audit.durable_seq || s.lines < 2)
		return false;
	clock_text(wall_ms, s.ts);
	audit_stamp_sign(hub->identity, &s);
	*out = s;
	return true;
}
