#include "fcgi-app/admin_live.h"

#include <string.h>

#include "shared/mem.h"
#include "shared/msg.h"
#include "shared/store.h"

struct question {
	char tenant_id[STORE_ID_MAX + 1];
	struct msg answer;
};

static enum rc ask(struct dispatch *d, void *ctx)
{
	struct question *q = ctx;

	return dispatch_sessions(d, *q->tenant_id ? q->tenant_id : NULL, &q->answer);
}

void admin_live_load(struct request *rq, const char *tenant_id, struct admin_live *out)
{
	struct question q = {0};

	(void)str_copy(q.tenant_id, sizeof(q.tenant_id), tenant_id ? tenant_id : "");
	*out = (struct admin_live){0};
	out->known = http_dispatch(rq, ask, &q) == RC_OK &&
		jscan_parse((const char *)q.answer.payload, q.answer.payload_len, &out->list) ==
			RC_OK;
}

static int count(const struct admin_live *s, const char *member, const char *id)
{
	struct jscan_iter it = jscan_iter(s->list);
	struct jscan key;
	struct jscan session;
	struct jscan value;
	int n = 0;

	if (!s->known || s->list.kind != JSCAN_ARRAY)
		return 0;
	while (jscan_next(&it, &key, &session)) {
		if (jscan_get(session, member, &value) == RC_OK && jscan_is_str(value, id))
			n++;
	}
	return n;
}

int admin_live_of_worker(const struct admin_live *s, const char *worker_id)
{
	return count(s, "worker_id", worker_id);
}

struct jscan admin_live_session(const struct admin_live *s, const char *worker_id)
{
	struct jscan_iter it = jscan_iter(s->list);
	struct jscan key, session, id;

	while (s->known && s->list.kind == JSCAN_ARRAY && jscan_next(&it, &key, &session))
		if (jscan_get(session, "worker_id", &id) == RC_OK && jscan_is_str(id, worker_id))
			return session;
	return (struct jscan){NULL, 0, JSCAN_NONE};
}

int admin_live_of_tenant(const struct admin_live *s, const char *tenant_id)
{
	return count(s, "tenant_id", tenant_id);
}
