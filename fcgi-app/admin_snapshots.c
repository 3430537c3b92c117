#include "fcgi-app/admin_common.h"
#include "fcgi-app/admin_handlers.h"
#include "shared/clock.h"
#include "shared/sidecar.h"

/* 200 sidecars of at most SIDECAR_MAX bytes. */
#define LIST_MAX (200 * (SIDECAR_MAX + 1) + 2)

/* Sidecars keep milliseconds; our answers have RFC 3339. */
static void as_text(json_t *sidecar, const char *name)
{
	const json_t *ms = json_object_get(sidecar, name);
	char text[CLOCK_TEXT_LEN + 1];

	if (!json_is_integer(ms))
		return;
	clock_text(json_integer_value(ms), text);
	json_object_set_new(sidecar, name, json_string(text));
}

void admin_snapshots_list(struct request *rq)
{
	char next[SIDECAR_ID_MAX + 1] = "";
	struct admin_page page;
	struct tenant t;
	struct buf text;
	json_t *sidecar;
	json_t *list = NULL;
	size_t i;
	enum rc rc;

	if (!admin_page(rq, 50, &page) || !admin_tenant(rq, &t))
		return;
	buf_init(&text, LIST_MAX);
	rc = sidecar_list(rq->config->snapshot_dir, t.id, page.after, page.limit, clock_wall_ms(),
		&text, next);
	if (rc == RC_OK)
		list = json_loadb((const char *)text.data, text.len, 0, NULL);
	buf_free(&text);
	if (rc != RC_OK) {
		admin_store_problem(rq, rc, ADMIN_BAD_CURSOR);
		return;
	}
	json_array_foreach(list, i, sidecar)
	{
		as_text(sidecar, "created_at");
		as_text(sidecar, "expires_at");
	}
	admin_reply_list(rq, "snapshots", list ? list : json_array(), next);
}
