#include "tunneld/vouch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/audit_vouch.h"
#include "shared/mem.h"
#include "shared/text.h"
#include "tunneld/outcome.h"

/* What of a call's row comes back in the row of its late result. */
struct vouch_owed {
	struct vouch_owed *next;
	char tenant_id[AUDIT_ID_MAX + 1];
	char key_id[AUDIT_ID_MAX + 1];
	char method[AUDIT_NAME_MAX + 1];
	char tool[AUDIT_NAME_MAX + 1];
	char request_id[AUDIT_ID_MAX + 1];
	char call_id[AUDIT_ID_MAX + 1];
	char session_id[AUDIT_ID_MAX + 1];
	char worker_id[AUDIT_ID_MAX + 1];
};

static void forget_first(struct vouch *v)
{
	struct vouch_owed *o = v->owed;

	v->owed = o->next;
	v->owed_count--;
	free(o);
}

void vouch_free(struct vouch *v)
{
	while (v->owed)
		forget_first(v);
}

/* Without a number: fine as long as there was none before. */
bool vouch_result(struct vouch *v, const struct msg *m, struct audit_record *row)
{
	uint8_t hash[CRYPTO_HASH_LEN];
	int64_t n;

	if (msg_field(m, "vouch").kind == JSCAN_NONE)
		return v->n == 0;
	if (msg_int(m, "vouch", &n) != RC_OK || n != v->n + 1 ||
		msg_bytes(m, "sha256", hash, sizeof(hash)) != RC_OK)
		return false;
	v->n = n;
	row->vouch = n;
	text_hex(hash, sizeof(hash), row->result_sha256);
	return true;
}

void vouch_owe(struct vouch *v, const struct audit_record *row)
{
	struct vouch_owed *o = xcalloc(1, sizeof(*o));

	if (v->owed_count == VOUCH_OWED_MAX)
		forget_first(v);
#define KEEP(member) (void)str_copy(o->member, sizeof(o->member), row->member)
	KEEP(tenant_id);
	KEEP(key_id);
	KEEP(method);
	KEEP(tool);
	KEEP(request_id);
	KEEP(call_id);
	KEEP(session_id);
	KEEP(worker_id);
#undef KEEP
	if (!v->owed)
		v->owed_last = &v->owed;
	*v->owed_last = o;
	v->owed_last = &o->next;
	v->owed_count++;
}

/* Takes the call off the list. */
static struct vouch_owed *take(struct vouch *v, const char *call_id)
{
	for (struct vouch_owed **at = &v->owed; *at; at = &(*at)->next) {
		struct vouch_owed *o = *at;

		if (strcmp(o->call_id, call_id) != 0)
			continue;
		*at = o->next;
		if (!o->next)
			v->owed_last = at;
		v->owed_count--;
		return o;
	}
	return NULL;
}

static void fill(struct audit_record *row, const struct vouch_owed *o)
{
#define FILL(member) (void)str_copy(row->member, sizeof(row->member), o->member)
	FILL(tenant_id);
	FILL(key_id);
	FILL(method);
	FILL(tool);
	FILL(request_id);
	FILL(call_id);
	FILL(session_id);
	FILL(worker_id);
#undef FILL
	(void)str_copy(row->actor_kind, sizeof(row->actor_kind), "worker");
	(void)str_copy(row->actor_id, sizeof(row->actor_id), o->worker_id);
}

bool vouch_late(struct vouch *v, const struct msg *m, struct audit_record *row)
{
	struct vouch_owed *o = take(v, m->id);
	bool ok;

	audit_init(row, "call.late");
	ok = vouch_result(v, m, row);
	if (o)
		fill(row, o);
	if (row->vouch > 0)
		/* Of a call that was never here there is nothing to vouch for. */
		ok = ok && o &&
			msg_str(m, "outcome", row->outcome, sizeof(row->outcome)) == RC_OK &&
			outcome_from_worker(row->outcome) != OUTCOME_COUNT;
	free(o);
	return ok;
}

bool vouch_statement(struct vouch *v, const struct msg *m, const char *worker_id,
	const char *session_id, struct audit_record *row)
{
	uint8_t digest[CRYPTO_HASH_LEN], sig[CRYPTO_SIG_LEN];
	struct audit_vouch s = {.worker_id = worker_id, .session_id = session_id, .digest = digest};
	char digest_hex[AUDIT_HASH_LEN + 1], key[TEXT_B64_LEN(CRYPTO_PUBLIC_LEN) + 1],
		b64[TEXT_B64_LEN(CRYPTO_SIG_LEN) + 1];

	if (msg_int(m, "first", &s.first) != RC_OK || msg_int(m, "last", &s.last) != RC_OK ||
		msg_bytes(m, "digest", digest, sizeof(digest)) != RC_OK ||
		msg_bytes(m, "sig", sig, sizeof(sig)) != RC_OK || s.first != v->signed_n + 1 ||
		s.last < s.first || s.last > v->n || s.last - s.first >= AUDIT_VOUCH_MAX ||
		!audit_vouch_good(&s, v->worker_key, sig))
		return false;
	v->signed_n = s.last;
	text_hex(digest, sizeof(digest), digest_hex);
	text_b64(v->worker_key, sizeof(v->worker_key), key);
	text_b64(sig, sizeof(sig), b64);
	(void)snprintf(row->change, sizeof(row->change),
		"{\"first\":%lld,\"last\":%lld,\"digest\":\"%s\",\"key\":\"%s\",\"sig\":\"%s\"}",
		(long long)s.first, (long long)s.last, digest_hex, key, b64);
	return true;
}
