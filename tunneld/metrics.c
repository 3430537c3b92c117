#include "tunneld/metrics.h"

#include <stdlib.h>
#include <string.h>

#include "shared/mem.h"

static const int64_t latency_us[METRICS_LATENCY_BUCKETS] = {1000, 2500, 5000, 10000, 25000, 50000,
	100000, 250000, 500000, 1000000, 2500000, 10000000, 30000000, 60000000};

void metrics_init(struct metrics *m, uint64_t seed)
{
	*m = (struct metrics){0};
	map_init(&m->tools, seed);
	memcpy(m->other.name, "other", sizeof("other"));
}

void metrics_free(struct metrics *m)
{
	struct map_node *n;

	while ((n = map_next(&m->tools, NULL))) {
		map_remove(&m->tools, n);
		free(MAP_ENTRY(n, struct metrics_tool, by_name));
	}
	map_free(&m->tools);
}

struct metrics_tool *metrics_tool(struct metrics *m, const char *name, bool listed)
{
	struct map_node *n;
	struct metrics_tool *t;

	if (!listed || !strcmp(name, m->other.name))
		return &m->other;
	n = map_get(&m->tools, name);
	if (n)
		return MAP_ENTRY(n, struct metrics_tool, by_name);
	if (m->tools.count >= METRICS_TOOLS_MAX || strlen(name) >= sizeof(t->name))
		return &m->other;
	t = xcalloc(1, sizeof(*t));
	(void)str_copy(t->name, sizeof(t->name), name);
	map_put(&m->tools, &t->by_name, t->name);
	return t;
}

void metrics_call(struct metrics_tool *t, enum outcome o, int64_t us)
{
	int i = 0;

	t->outcomes[o]++;
	while (i < METRICS_LATENCY_BUCKETS && us > latency_us[i])
		i++;
	t->buckets[i]++;
	t->sum_us += us > 0 ? (uint64_t)us : 0;
}

/* --- text ------------------------------------------------------------------------- */

static void head(struct buf *b, const char *name, const char *type, const char *help)
{
	buf_printf(b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void put_label_value(struct buf *b, const char *s)
{
	for (; *s; s++) {
		if (*s == '\n')
			buf_str(b, "\\n");
		else if (*s == '"' || *s == '\\')
			buf_printf(b, "\\%c", *s);
		else
			buf_char(b, *s);
	}
}

/* One sample: labels come in pairs. */
static void labelled(struct buf *b, const char *name, const char *label, const char *value,
	const char *label2, const char *value2, uint64_t n)
{
	buf_printf(b, "%s{%s=\"", name, label);
	put_label_value(b, value);
	if (label2 && value2) {
		buf_printf(b, "\",%s=\"", label2);
		put_label_value(b, value2);
	}
	buf_printf(b, "\"} %llu\n", (unsigned long long)n);
}

static void plain(struct buf *b, const char *name, const char *type, const char *help, uint64_t n)
{
	head(b, name, type, help);
	buf_printf(b, "%s %llu\n", name, (unsigned long long)n);
}

static void seconds(struct buf *b, uint64_t us)
{
	buf_printf(b, "%llu.%06llu", (unsigned long long)(us / 1000000),
		(unsigned long long)(us % 1000000));
}

/* labels is "" or "tool=\"x\",". */
static void histogram(struct buf *b, const char *name, const char *labels, const int64_t *bounds,
	size_t count, const uint64_t *buckets, uint64_t sum_us)
{
	size_t bare = strlen(labels);
	uint64_t total = 0;

	for (size_t i = 0; i <= count; i++) {
		total += buckets[i];
		buf_printf(b, "%s_bucket{%sle=\"", name, labels);
		if (i == count)
			buf_str(b, "+Inf");
		else
			buf_printf(b, "%g", (double)bounds[i] / 1e6);
		buf_printf(b, "\"} %llu\n", (unsigned long long)total);
	}
	/* Without the comma that the bucket's le needs. */
	buf_printf(b, "%s_sum%s%.*s%s ", name, bare ? "{" : "", bare ? (int)bare - 1 : 0, labels,
		bare ? "}" : "");
	seconds(b, sum_us);
	buf_printf(b, "\n%s_count%s%.*s%s %llu\n", name, bare ? "{" : "", bare ? (int)bare - 1 : 0,
		labels, bare ? "}" : "", (unsigned long long)total);
}

static bool used(const struct metrics_tool *t)
{
	for (int o = 0; o < OUTCOME_COUNT; o++)
		if (t->outcomes[o])
			return true;
	return false;
}

static void put_calls(struct buf *b, const struct metrics_tool *t)
{
	for (int o = 0; o < OUTCOME_COUNT; o++)
		if (t->outcomes[o])
			labelled(b, "airlock_cp_tool_calls_total", "tool", t->name, "outcome",
				outcome_name((enum outcome)o), t->outcomes[o]);
}

static void put_latency(struct buf *b, const struct metrics_tool *t)
{
	struct buf labels;

	if (!used(t))
		return;
	buf_init(&labels, 512);
	buf_str(&labels, "tool=\"");
	put_label_value(&labels, t->name);
	buf_add(&labels, "\",", sizeof("\","));
	if (!labels.failed)
		histogram(b, "airlock_cp_tool_latency_seconds", (const char *)labels.data,
			latency_us, METRICS_LATENCY_BUCKETS, t->buckets, t->sum_us);
	buf_free(&labels);
}

static void each_tool(struct buf *b, const struct metrics *m,
	void (*put)(struct buf *, const struct metrics_tool *))
{
	for (const struct map_node *n = NULL; (n = map_next(&m->tools, n));)
		put(b, MAP_ENTRY(n, const struct metrics_tool, by_name));
	put(b, &m->other);
}

static void put_guide(struct buf *b, const struct metrics *m, const struct metrics_now *now)
{
	head(b, "airlock_cp_tool_calls_total", "counter", "Tool calls by tool and outcome.");
	each_tool(b, m, put_calls);
	head(b, "airlock_cp_tool_latency_seconds", "histogram",
		"Time from a call's arrival at the tunnel daemon to its outcome.");
	each_tool(b, m, put_latency);
	head(b, "airlock_cp_active_sessions", "gauge", "Live tunnel sessions by tenant.");
	for (const struct map_node *n = NULL; (n = map_next(&now->registry->tenants, n));) {
		const struct registry_tenant *t = MAP_ENTRY(n, const struct registry_tenant, by_id);

		labelled(b, "airlock_cp_active_sessions", "tenant_id", t->id, NULL, NULL, t->count);
	}
	plain(b, "airlock_cp_hello_total", "counter", "HELLO messages received from workers.",
		m->hello);
}

static void put_traffic(struct buf *b, const struct metrics *m)
{
	head(b, "airlock_cp_tunnel_messages_total", "counter",
		"Tunnel messages by direction and type.");
	for (int t = 1; t < METRICS_TYPES; t++) {
		const char *name = msg_type_name((enum msg_type)t);

		if (m->tunnel_in[t])
			labelled(b, "airlock_cp_tunnel_messages_total", "direction", "in", "type",
				name, m->tunnel_in[t]);
		if (m->tunnel_out[t])
			labelled(b, "airlock_cp_tunnel_messages_total", "direction", "out", "type",
				name, m->tunnel_out[t]);
	}
	plain(b, "airlock_cp_tunnel_unknown_messages_total", "counter",
		"Tunnel messages of a type this version does not know.", m->tunnel_in[MSG_UNKNOWN]);
	plain(b, "airlock_cp_tunnel_stray_messages_total", "counter",
		"Results and events for calls that had ended.", m->stray);
	head(b, "airlock_cp_tunnel_bytes_total", "counter",
		"Bytes of tunnel messages by direction.");
	labelled(b, "airlock_cp_tunnel_bytes_total", "direction", "in", NULL, NULL,
		m->tunnel_bytes_in);
	labelled(b, "airlock_cp_tunnel_bytes_total", "direction", "out", NULL, NULL,
		m->tunnel_bytes_out);
	head(b, "airlock_cp_dispatch_bytes_total", "counter",
		"Bytes on the dispatch socket by direction.");
	labelled(b, "airlock_cp_dispatch_bytes_total", "direction", "in", NULL, NULL,
		m->dispatch_bytes_in);
	labelled(b, "airlock_cp_dispatch_bytes_total", "direction", "out", NULL, NULL,
		m->dispatch_bytes_out);
	plain(b, "airlock_cp_tunnel_protocol_errors_total", "counter",
		"Tunnels closed because the worker broke the protocol.", m->closed_4400);
	plain(b, "airlock_cp_tunnel_closed_total", "counter",
		"Tunnels closed for any other reason.", m->closed_other);
}

static void put_refusals(struct buf *b, const struct metrics *m)
{
	static const char *const reasons[] = {
#define X(name, text) text,
		METRICS_REFUSAL_TABLE(X)
#undef X
	};

	head(b, "airlock_cp_hello_nack_total", "counter", "Handshakes refused, by reason.");
	for (int n = NACK_NONE + 1; n < NACK_COUNT; n++)
		labelled(b, "airlock_cp_hello_nack_total", "reason", nack_reason((enum nack)n),
			NULL, NULL, m->nacks[n]);
	head(b, "airlock_cp_refused_total", "counter",
		"Calls and connections turned away because of a limit, by reason.");
	for (int r = 0; r < METRICS_REFUSAL_COUNT; r++)
		labelled(b, "airlock_cp_refused_total", "reason", reasons[r], NULL, NULL,
			m->refused[r]);
	head(b, "airlock_cp_mcp_requests_total", "counter",
		"Relayed MCP requests other than tools/call, by outcome.");
	for (int o = 0; o < OUTCOME_COUNT; o++)
		labelled(b, "airlock_cp_mcp_requests_total", "outcome",
			outcome_name((enum outcome)o), NULL, NULL, m->requests[o]);
}

static void put_streams(struct buf *b, const struct metrics *m, const struct metrics_now *now)
{
	plain(b, "airlock_cp_streams", "gauge", "Streams of agents that listen for changes.",
		now->streams);
	plain(b, "airlock_cp_streams_opened_total", "counter", "Streams that were opened.",
		m->streams_opened);
	head(b, "airlock_cp_streams_ended_total", "counter", "Streams that ended, by reason.");
	for (int e = 0; e < LISTEN_END_COUNT; e++)
		labelled(b, "airlock_cp_streams_ended_total", "reason",
			listen_end_text((enum listen_end)e), NULL, NULL, m->streams_ended[e]);
}

static void put_audit(struct buf *b, const struct audit_stats *a)
{
	plain(b, "airlock_cp_audit_ok", "gauge", "1 while the audit journal can be written.",
		a->ok);
	plain(b, "airlock_cp_audit_queue", "gauge", "Audit rows that are not written yet.",
		a->queue);
	plain(b, "airlock_cp_audit_rows_total", "counter", "Audit rows written.", a->rows);
	plain(b, "airlock_cp_audit_batches_total", "counter", "Group commits.", a->batches);
	plain(b, "airlock_cp_audit_failures_total", "counter",
		"Batches of audit rows that could not be written.", a->failures);
	plain(b, "airlock_cp_audit_lost_rows_total", "counter",
		"Session rows dropped after the journal failed for long.", a->lost);
	plain(b, "airlock_cp_audit_checkpoints_total", "counter", "Signed checkpoints written.",
		a->checkpoints);
	plain(b, "airlock_cp_audit_rotations_total", "counter",
		"Times the journal went on in a new file.", a->rotations);
	plain(b, "airlock_cp_audit_free_bytes", "gauge", "Bytes free on the journal's volume.",
		a->free_bytes > 0 ? (uint64_t)a->free_bytes : 0);
	head(b, "airlock_cp_audit_fsync_seconds", "histogram",
		"Time to append a batch and bring it to the disk.");
	histogram(b, "airlock_cp_audit_fsync_seconds", "", audit_fsync_bounds_us,
		AUDIT_FSYNC_BUCKETS, a->fsync_bucket, a->fsync_us);
}

static void put_keeper(struct buf *b, const struct audit_keeper_stats *k)
{
	plain(b, "airlock_cp_audit_segments", "gauge", "Closed files of the audit log.",
		(uint64_t)k->segments);
	plain(b, "airlock_cp_audit_segment_bytes", "gauge", "Bytes of the closed files.",
		(uint64_t)k->bytes);
	plain(b, "airlock_cp_audit_archive_ok", "gauge",
		"1 unless the last audit.archive_command failed.", k->archive_ok);
	plain(b, "airlock_cp_audit_unarchived", "gauge", "Closed files that are not archived yet.",
		(uint64_t)k->unarchived);
	plain(b, "airlock_cp_audit_archived_total", "counter", "Closed files archived.",
		k->archived);
	plain(b, "airlock_cp_audit_archive_failures_total", "counter",
		"Times that audit.archive_command failed.", k->archive_failures);
	plain(b, "airlock_cp_audit_head_ok", "gauge",
		"1 unless the last audit.head_command failed.", k->head_ok);
	plain(b, "airlock_cp_audit_heads_total", "counter", "Heads pushed.", k->pushed);
	plain(b, "airlock_cp_audit_head_failures_total", "counter",
		"Times that audit.head_command failed.", k->push_failures);
	plain(b, "airlock_cp_audit_expired_rows_total", "counter", "Rows whose retention was over.",
		k->expired_rows);
	plain(b, "airlock_cp_audit_compressed_total", "counter", "Closed files compressed.",
		k->compressed);
	plain(b, "airlock_cp_audit_deleted_total", "counter", "Closed files deleted.", k->deleted);
	plain(b, "airlock_cp_audit_damaged_total", "counter",
		"Closed files that did not hold, or could not be written anew.", k->damaged);
}

static void put_audit_streams(struct buf *b, const struct metrics_now *now)
{
	plain(b, "airlock_cp_audit_streams", "gauge", "Open streams of the audit log.",
		now->audit_streams);
	plain(b, "airlock_cp_audit_streams_opened_total", "counter",
		"Streams of the audit log that were opened.", now->audit_streams_opened);
	plain(b, "airlock_cp_audit_streams_slow_total", "counter",
		"Streams of the audit log whose reader did not keep up.", now->audit_streams_slow);
}

static void put_process(struct buf *b, const struct metrics_now *now)
{
	plain(b, "airlock_cp_calls_in_flight", "gauge", "Calls between arrival and answer.",
		now->calls);
	plain(b, "airlock_cp_tunnel_connections", "gauge",
		"Tunnel connections, those in the handshake included.", now->tunnels);
	plain(b, "airlock_cp_dispatch_connections", "gauge", "Connections on the dispatch socket.",
		now->dispatch_connections);
	plain(b, "airlock_cp_draining", "gauge", "1 while the daemon shuts down.", now->draining);
	head(b, "airlock_cp_build_info", "gauge", "The running version.");
	labelled(b, "airlock_cp_build_info", "version", AIRLOCK_VERSION, NULL, NULL, 1);
	plain(b, "process_start_time_seconds", "gauge",
		"Start time of the process since the Unix epoch.", (uint64_t)now->started_at);
}

void metrics_text(const struct metrics *m, const struct metrics_now *now, struct buf *out)
{
	put_guide(out, m, now);
	put_traffic(out, m);
	put_refusals(out, m);
	put_streams(out, m, now);
	put_audit(out, &now->audit);
	put_keeper(out, &now->keeper);
	put_audit_streams(out, now);
	put_process(out, now);
}
