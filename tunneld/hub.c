#include "tunneld/hub.h"

#include "shared/audit_index.h"
#include "shared/clock.h"
#include "tunneld/audit_keeper.h"
#include "tunneld/listen.h"
#include "tunneld/pinning.h"
#include "tunneld/relay.h"
#include "tunneld/tunnel.h"
#include "tunneld/torn.h"

#define RATE_KEYS_MAX 65536

static void changed(void *ctx, const char *tenant_id)
{
	tunnel_recheck(ctx, tenant_id);
	pinning_recheck(ctx, tenant_id);
	listen_recheck(ctx, tenant_id);
}

static void release(void *ctx, struct catalog_entry *manifest)
{
	struct hub *hub = ctx;

	catalog_drop(&hub->catalog, manifest);
}

static void init(struct hub *hub)
{
	uint64_t seed;

	crypto_random(&seed, sizeof(seed));
	registry_init(&hub->registry, seed);
	calls_init(&hub->calls, seed);
	rates_init(&hub->rates, RATE_KEYS_MAX, seed);
	catalog_init(&hub->catalog, seed);
	listens_init(&hub->listens, seed);
	metrics_init(&hub->metrics, seed);
	audit_streams_init(&hub->audit_streams, seed);
	deadlines_init(&hub->handshakes);
	deadlines_init(&hub->quiet);
	deadlines_init(&hub->pinged);
	hub->started_at = clock_wall_s();
	hub->started_ms = clock_mono_ms();
	hub->armed_ms = DEADLINE_NEVER;
}

/* Called from the writer's thread. */
static void durable(void *ctx, int64_t seq)
{
	struct hub *hub = ctx;

	audit_indexer_durable(hub->indexer, seq);
	audit_feed_durable(hub->feed, seq);
}

enum rc hub_open(struct hub *hub, const struct config *config,
	const struct crypto_identity *identity, void (*notify)(void *ctx), void *ctx)
{
	const struct audit_writer_options audit = {.path = config->audit_log_path,
		.fsync = config->audit_fsync,
		.fsync_interval_ms = config->audit_fsync_interval_ms,
		.min_free_bytes = config->audit_min_free_bytes,
		.identity = identity,
		.checkpoint_rows = config->audit_checkpoint_rows,
		.checkpoint_seconds = config->audit_checkpoint_seconds,
		.rotate_bytes = config->audit_rotate_bytes,
		.rotate_hours = config->audit_rotate_hours,
		.notify = notify,
		.ctx = ctx,
		.durable = durable,
		.durable_ctx = hub};
	struct state_writer_options state = {.state_path = config->state_path,
		.snapshot_dir = config->snapshot_dir,
		.audit_path = config->audit_log_path,
		.pinning = config->tool_pinning,
		.notify = notify,
		.changed = changed,
		.release = release};
	char index_path[PATH_MAX];
	enum rc rc;

	*hub = (struct hub){.config = config, .identity = identity};
	init(hub);
	rc = db_open(config->state_path, &hub->db);
	if (rc == RC_OK)
		rc = audit_index_path(config->audit_log_path, config->audit_index_path, index_path);
	/* They are there when the writer says how far the log is. */
	if (rc == RC_OK)
		rc = audit_indexer_open(config->audit_log_path, index_path, &hub->indexer);
	if (rc == RC_OK)
		rc = audit_feed_open(
			&(struct audit_feed_options){.log_path = config->audit_log_path,
				.index_path = index_path,
				.state_path = config->state_path,
				.backlog_bytes = (size_t)config->audit_stream_backlog_bytes,
				.notify = notify,
				.ctx = ctx},
			&hub->feed);
	if (rc == RC_OK)
		rc = audit_writer_open(&audit, &hub->audit);
	state.audit = hub->audit;
	state.ctx = hub;
	state.notify_ctx = ctx;
	if (rc == RC_OK)
		rc = state_writer_open(&state, &hub->state);
	if (rc == RC_OK)
		rc = audit_keeper_open(config, identity, hub->audit, &hub->keeper);
	if (rc == RC_OK)
		torn_record(hub->audit, config->audit_log_path);
	if (rc != RC_OK) {
		hub_flush(hub);
		hub_free(hub);
	}
	return rc;
}

void hub_flush(struct hub *hub)
{
	/* In this order: the state writer's last rows go through the audit writer. */
	state_writer_close(hub->state);
	hub->state = NULL;
	audit_keeper_close(hub->keeper);
	hub->keeper = NULL;
	audit_writer_close(hub->audit);
	hub->audit = NULL;
	audit_indexer_close(hub->indexer);
	hub->indexer = NULL;
	audit_feed_close(hub->feed);
	hub->feed = NULL;
}

void hub_free(struct hub *hub)
{
	calls_free(&hub->calls);
	registry_free(&hub->registry);
	rates_free(&hub->rates);
	catalog_free(&hub->catalog);
	listens_free(&hub->listens);
	metrics_free(&hub->metrics);
	audit_streams_free(&hub->audit_streams);
	db_close(hub->db);
	*hub = (struct hub){0};
}

void hub_reap(struct hub *hub)
{
	if (hub->audit)
		audit_writer_reap(hub->audit);
	audit_stream_reap(hub);
	if (hub->state)
		state_writer_reap(hub->state);
}

void hub_arm(struct hub *hub, int64_t due_ms)
{
	/* A timer that is early finds nothing due and is set anew; so most deadlines cost nothing
	 * here. */
	if (due_ms >= hub->armed_ms)
		return;
	hub->armed_ms = due_ms;
	if (hub->arm)
		hub->arm(hub->arm_ctx, due_ms);
}

static int64_t earliest(const struct hub *hub)
{
	const struct deadlines *const lists[] = {&hub->handshakes, &hub->quiet, &hub->pinged,
		&hub->calls.deadlines, &hub->listens.offered, &hub->listens.beats,
		&hub->listens.expiries, &hub->listens.watches.idle};
	int64_t due = DEADLINE_NEVER;

	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		if (deadlines_next(lists[i]) < due)
			due = deadlines_next(lists[i]);
	if (audit_stream_due(&hub->audit_streams) < due)
		due = audit_stream_due(&hub->audit_streams);
	return due;
}

void hub_tick(struct hub *hub, int64_t now_ms)
{
	relay_tick(hub, now_ms);
	tunnel_tick(hub, now_ms);
	audit_stream_tick(hub, now_ms);
	listen_tick(hub, now_ms);
	hub->armed_ms = DEADLINE_NEVER;
	hub_arm(hub, earliest(hub));
}

void hub_metrics(struct hub *hub, struct buf *out)
{
	struct metrics_now now = {.registry = &hub->registry,
		.tunnels = hub->connections,
		.dispatch_connections = hub->dispatch_connections,
		.calls = hub->calls.count,
		.audit_streams = hub->audit_streams.count,
		.audit_streams_opened = hub->audit_streams.opened,
		.audit_streams_slow = hub->audit_streams.too_slow,
		.streams = hub->listens.count,
		.started_at = hub->started_at,
		.draining = hub->draining};

	audit_writer_stats(hub->audit, &now.audit);
	audit_keeper_stats(hub->keeper, &now.keeper);
	metrics_text(&hub->metrics, &now, out);
}
