#include "fcgi-app/mcp_manifest.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "shared/clock.h"
#include "shared/log.h"
#include "shared/mem.h"
#include "shared/text.h"

#define SLOTS 64

struct slot {
	char tenant_id[STORE_ID_MAX + 1];
	struct mcp_manifest *manifest;
	int64_t checked_ms; /* when tunneld last confirmed it */
	int64_t used_ms;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct slot slots[SLOTS];

static struct mcp_manifest *hold(struct mcp_manifest *m)
{
	atomic_fetch_add(&m->refs, 1);
	return m;
}

void mcp_manifest_put(struct mcp_manifest *m)
{
	if (!m || atomic_fetch_sub(&m->refs, 1) > 1)
		return;
	toolset_free(&m->tools);
	free(m->text);
	free(m);
}

/* Takes text over. NULL: no memory. */
static struct mcp_manifest *manifest_new(char *text, size_t len)
{
	struct mcp_manifest *m = xcalloc(1, sizeof(*m));
	uint8_t hash[CRYPTO_HASH_LEN];
	struct jscan whole, subject;

	atomic_init(&m->refs, 1);
	m->text = text;
	m->len = len;
	crypto_sha256(text, len, hash);
	text_hex(hash, sizeof(hash), m->digest);
	if (jscan_parse(text, len, &whole) != RC_OK ||
		jscan_get(whole, "subject_argument", &subject) != RC_OK ||
		jscan_str(subject, m->subject, sizeof(m->subject)) != RC_OK)
		(void)str_copy(m->subject, sizeof(m->subject), "subject_id");
	if (toolset_read(text, len, &m->tools) != RC_OK) {
		mcp_manifest_put(m);
		return NULL;
	}
	m->marks_headers = memmem(text, len, "x-mcp-header", 12) != NULL;
	return m;
}

/* --- the cache; callers hold the lock ---------------------------------------------------- */

static struct slot *find_slot(const char *tenant_id)
{
	for (int i = 0; i < SLOTS; i++)
		if (slots[i].manifest && !strcmp(slots[i].tenant_id, tenant_id))
			return &slots[i];
	return NULL;
}

static struct slot *oldest_slot(void)
{
	struct slot *oldest = &slots[0];

	for (int i = 0; i < SLOTS; i++) {
		if (!slots[i].manifest)
			return &slots[i];
		if (slots[i].used_ms < oldest->used_ms)
			oldest = &slots[i];
	}
	return oldest;
}

static struct mcp_manifest *recall(const char *tenant_id, int64_t *checked_ms)
{
	struct mcp_manifest *m = NULL;
	struct slot *s;

	(void)pthread_mutex_lock(&lock);
	s = find_slot(tenant_id);
	if (s) {
		s->used_ms = clock_mono_ms();
		*checked_ms = s->checked_ms;
		m = hold(s->manifest);
	}
	(void)pthread_mutex_unlock(&lock);
	return m;
}

/* Remembers m for the tenant, or with NULL that there is nothing to remember. */
static void remember(const char *tenant_id, struct mcp_manifest *m, int64_t checked_ms)
{
	struct mcp_manifest *old = NULL;
	struct slot *s;

	(void)pthread_mutex_lock(&lock);
	s = find_slot(tenant_id);
	if (!s && m)
		s = oldest_slot();
	if (s) {
		old = s->manifest;
		s->manifest = m ? hold(m) : NULL;
		s->checked_ms = s->used_ms = checked_ms;
		(void)str_copy(s->tenant_id, sizeof(s->tenant_id), tenant_id);
	}
	(void)pthread_mutex_unlock(&lock);
	mcp_manifest_put(old);
}

/* --- asking -------------------------------------------------------------------------------- */

struct question {
	const char *tenant_id;
	const char *have; /* a digest or NULL */
	bool same, none;
	char *text;
	size_t len;
};

static enum rc ask(struct dispatch *d, void *ctx)
{
	struct question *q = ctx;
	struct buf *b = dispatch_message(d);
	struct msg m;
	char code[48];
	enum rc rc;

	msg_begin(b, MSG_MANIFEST_GET, NULL);
	msg_put_str(b, "tenant_id", q->tenant_id);
	msg_put_str(b, "have", q->have);
	msg_end(b, NULL, 0);
	rc = dispatch_ask(d, MSG_MANIFEST_OK, &m);
	if (rc != RC_OK)
		return rc;
	if (m.type == MSG_FAIL) {
		q->none = msg_str(&m, "code", code, sizeof(code)) == RC_OK &&
			problem_from_code(code) == PROBLEM_NO_WORKER;
		return q->none ? RC_OK : RC_UNAVAILABLE;
	}
	q->same = q->have && msg_flag(&m, "same");
	if (q->same)
		return RC_OK;
	q->text = malloc(m.payload_len + 1);
	if (!q->text)
		return RC_UNAVAILABLE;
	if (m.payload_len > 0)
		memcpy(q->text, m.payload, m.payload_len);
	q->text[m.payload_len] = '\0';
	q->len = m.payload_len;
	return RC_OK;
}

enum rc mcp_manifest_live(
	struct request *rq, const char *tenant_id, int64_t max_age_ms, struct mcp_manifest **out)
{
	int64_t checked_ms = 0, now = clock_mono_ms();
	struct mcp_manifest *m = recall(tenant_id, &checked_ms);
	struct question q = {.tenant_id = tenant_id, .have = m ? m->digest : NULL};
	enum rc rc;

	if (m && now - checked_ms < max_age_ms) {
		*out = m;
		return RC_OK;
	}
	rc = http_dispatch(rq, ask, &q);
	if (rc == RC_OK && q.text) {
		mcp_manifest_put(m);
		m = manifest_new(q.text, q.len);
		rc = m ? RC_OK : RC_UNAVAILABLE;
	}
	if (rc == RC_OK)
		remember(tenant_id, q.none ? NULL : m, now);
	if (rc == RC_OK && q.none)
		rc = RC_NOTFOUND;
	if (rc == RC_OK)
		*out = m;
	else
		mcp_manifest_put(m);
	return rc == RC_OK || rc == RC_NOTFOUND ? rc : RC_UNAVAILABLE;
}

enum rc mcp_manifest_known(
	struct request *rq, const char *tenant_id, int64_t max_age_ms, struct mcp_manifest **out)
{
	enum rc rc = mcp_manifest_live(rq, tenant_id, max_age_ms, out);

	return rc == RC_NOTFOUND ? mcp_manifest_stored(rq, tenant_id, out) : rc;
}

enum rc mcp_manifest_stored(struct request *rq, const char *tenant_id, struct mcp_manifest **out)
{
	char digest[65], *text;
	struct db *db;
	size_t len;
	enum rc rc = db_pool_get(rq->app->db, &db);

	if (rc != RC_OK)
		return RC_INTERNAL;
	rc = worker_manifest(db, tenant_id, &text, &len, digest);
	db_pool_put(rq->app->db, db);
	if (rc == RC_OK) {
		*out = manifest_new(text, len);
		rc = *out ? RC_OK : RC_INTERNAL;
	}
	return rc == RC_OK || rc == RC_NOTFOUND ? rc : RC_INTERNAL;
}
