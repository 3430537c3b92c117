#include "fcgi-app/status.h"

#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "fcgi-app/admin_common.h"
#include "fcgi-app/admin_live.h"
#include "shared/clock.h"
#include "shared/file.h"
#include "shared/mem.h"

static json_t *public_list(
	const struct tenant *tenants, size_t count, const struct admin_live *live)
{
	json_t *list = json_array();

	for (size_t i = 0; i < count; i++) {
		json_t *j = json_object();

		json_object_set_new(j, "slug", json_string(tenants[i].slug));
		json_object_set_new(
			j, "sessions", json_integer(admin_live_of_tenant(live, tenants[i].id)));
		json_array_append_new(list, j);
	}
	return list;
}

void status_public(struct request *rq)
{
	char next[STORE_CURSOR_MAX + 1] = "";
	struct tenant *tenants = NULL;
	struct admin_live live;
	struct admin_page page;
	size_t count = 0;
	struct db *db;
	enum rc rc;

	if (!rq->config->public_status) {
		http_problem(rq, PROBLEM_NOT_FOUND, NULL);
		return;
	}
	if (!admin_page(rq, 200, &page) || !admin_db(rq, &db))
		return;
	rc = tenant_list(db, NULL, page.after, page.limit, &tenants, &count, next);
	admin_db_done(rq, db);
	if (rc != RC_OK) {
		admin_store_problem(rq, rc, ADMIN_BAD_CURSOR);
		return;
	}
	admin_live_load(rq, NULL, &live);
	if (live.known)
		admin_reply_list(rq, "tenants", public_list(tenants, count, &live), next);
	else
		http_problem(rq, PROBLEM_TUNNEL_DOWN, NULL);
	free(tenants);
}

static enum rc ask_ping(struct dispatch *d, void *ctx)
{
	return dispatch_ping(d, ctx);
}

static void set_number(json_t *j, const char *name, const struct msg *pong, const char *field)
{
	int64_t n;

	json_object_set_new(
		j, name, msg_int(pong, field, &n) == RC_OK ? json_integer(n) : json_null());
}

/* What tunneld says of itself and of the journal. */
static void set_tunnel(json_t *j, struct request *rq)
{
	json_t *tunnel = json_object();
	json_t *audit = json_object();
	char version[32] = "";
	struct msg pong;
	bool reachable = http_dispatch(rq, ask_ping, &pong) == RC_OK;

	json_object_set_new(tunnel, "reachable", json_boolean(reachable));
	json_object_set_new(
		audit, "writable", json_boolean(reachable && msg_flag(&pong, "audit_ok")));
	if (reachable) {
		(void)msg_str(&pong, "version", version, sizeof(version));
		admin_set_text(tunnel, "version", version);
		set_number(tunnel, "uptime_s", &pong, "uptime_s");
		set_number(tunnel, "sessions", &pong, "sessions");
		set_number(tunnel, "calls_in_flight", &pong, "calls");
		set_number(tunnel, "streams", &pong, "streams");
		json_object_set_new(tunnel, "draining", json_boolean(msg_flag(&pong, "draining")));
		set_number(audit, "queue", &pong, "audit_queue");
		set_number(audit, "free_bytes", &pong, "audit_free_bytes");
		set_number(audit, "head_seq", &pong, "audit_head_seq");
		set_number(audit, "segments", &pong, "audit_segments");
		set_number(audit, "segment_bytes", &pong, "audit_segment_bytes");
		set_number(audit, "unarchived", &pong, "audit_unarchived");
		json_object_set_new(
			audit, "archive_ok", json_boolean(msg_flag(&pong, "audit_archive_ok")));
		json_object_set_new(
			audit, "head_ok", json_boolean(msg_flag(&pong, "audit_head_ok")));
	}
	json_object_set_new(j, "tunnel", tunnel);
	json_object_set_new(j, "audit", audit);
}

static void set_state(json_t *j, const struct config *config)
{
	json_t *state = json_object();
	char dir[PATH_MAX];
	struct statvfs fs;

	if (file_dir(config->state_path, dir) && statvfs(dir, &fs) == 0) {
		json_int_t block = (json_int_t)fs.f_frsize;

		json_object_set_new(
			state, "free_bytes", json_integer((json_int_t)fs.f_bavail * block));
		json_object_set_new(
			state, "total_bytes", json_integer((json_int_t)fs.f_blocks * block));
	}
	json_object_set_new(j, "state", state);
}

void status_admin(struct request *rq)
{
	json_t *j = json_object();
	json_t *pool = json_object();

	json_object_set_new(j, "version", json_string(AIRLOCK_VERSION));
	json_object_set_new(j, "public_url", json_string(rq->config->public_url));
	json_object_set_new(j, "uptime_s", json_integer(clock_wall_s() - rq->app->started_at));
	json_object_set_new(pool, "processes", json_integer(rq->config->pool_processes));
	json_object_set_new(pool, "threads", json_integer(rq->config->pool_threads));
	json_object_set_new(j, "pool", pool);
	set_tunnel(j, rq);
	set_state(j, rq->config);
	http_reply_json(rq, 200, j);
}
