#include "worker/calls.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "shared/clock.h"
#include "shared/log.h"
#include "shared/manifest.h"
#include "shared/mem.h"
#include "worker/executor.h"

#define TIMEOUT_DEFAULT_MS 60000
#define TIMEOUT_MAX_MS ((int64_t)3600 * 1000)

struct call_job {
	struct job job; /* first: the executor knows only this */
	LIST_ENTRY(call_job) entry;
	const struct mcp_server *server;
	struct link_call in;
	bool orphan; /* its connection is gone; loop's thread only */
	int64_t started_ms, deadline_ms;
	struct buf result;
	struct mcp_answer answer;
};

struct calls {
	const struct mcp_server *server;
	struct executor *executor;
	bool stopped;
	LIST_HEAD(, call_job) jobs;
	size_t count;
};

enum rc calls_new(const struct mcp_server *server, int threads, void (*wake)(void *ctx), void *ctx,
	struct calls **out)
{
	struct executor *executor;
	enum rc rc = executor_new(threads, CALLS_WAITING_MAX, wake, ctx, &executor);

	if (rc != RC_OK)
		return rc;
	struct calls *c = xcalloc(1, sizeof *c);
	c->server = server;
	c->executor = executor;
	LIST_INIT(&c->jobs);
	*out = c;
	return RC_OK;
}

/* On a pool thread. */
static void run_call(struct job *job)
{
	struct call_job *j = (struct call_job *)job;
	const char *text = (const char *)j->in.request.data;
	size_t len = j->in.request.len;
	struct mcp_request rq = {.text = text,
		.len = len,
		.era = mcp_era_parse(j->in.era),
		.deadline_mono_ms = j->deadline_ms,
		.cancelled = &job->cancelled};

	log_context(j->in.request_id, NULL, NULL);
	if (atomic_load(&job->cancelled)) {
		j->answer.outcome = "cancelled";
	} else if (clock_mono_ms() >= j->deadline_ms) {
		/* It waited too long for a thread; the agent has its answer already. */
		j->answer.outcome = "timeout";
		mcp_error(&j->result, mcp_request_id(text, len), MCP_TIMEOUT,
			"The call waited too long for a free thread");
	} else {
		mcp_server_handle(j->server, &rq, &j->result, &j->answer);
	}
	log_context(NULL, NULL, NULL);
}

static void free_job(struct calls *c, struct call_job *j)
{
	LIST_REMOVE(j, entry);
	c->count--;
	buf_free(&j->in.request);
	buf_free(&j->result);
	free(j);
}

/* What tool a log line names: only what looks like a tool. */
static const char *tool_name(const struct link_call *call)
{
	return manifest_tool_ok(call->tool) ? call->tool : "-";
}

static void refuse(struct link *l, struct link_call *call, const char *outcome)
{
	struct buf payload;
	struct jscan id = mcp_request_id((const char *)call->request.data, call->request.len);
	char who[LINK_CALLER_MAX];

	buf_init(&payload, MSG_HEADER_MAX);
	if (strcmp(outcome, "too_large") == 0)
		mcp_error(&payload, id, MCP_TOO_LARGE,
			"The request is larger than this worker takes");
	else
		mcp_error(&payload, id, MCP_OVERLOADED,
			"The worker has too many calls in hand; try again later");
	log_warn("call %s of %s by %s refused: %s", call->request_id, tool_name(call),
		link_caller(call, who), outcome);
	link_result(l, call->id, outcome, "", &payload);
	buf_free(&call->request);
}

void calls_start(struct calls *c, struct link *l, struct link_call *call)
{
	int64_t timeout = call->timeout_ms;
	struct call_job *j;

	if (call->refused != NULL) {
		refuse(l, call, call->refused);
		return;
	}
	if (timeout <= 0)
		timeout = TIMEOUT_DEFAULT_MS;
	if (timeout > TIMEOUT_MAX_MS)
		timeout = TIMEOUT_MAX_MS;
	j = xcalloc(1, sizeof *j);
	j->job.run = run_call;
	j->server = c->server;
	j->in = *call;
	j->started_ms = clock_mono_ms();
	j->deadline_ms = j->started_ms + timeout;
	j->answer.outcome = "cancelled"; /* of one that never ran */
	buf_init(&j->result, link_max_result(l));
	LIST_INSERT_HEAD(&c->jobs, j, entry);
	c->count++;
	if (c->stopped || executor_submit(c->executor, &j->job) != RC_OK) {
		j->in.request = (struct buf){0};
		free_job(c, j);
		refuse(l, call, "overloaded");
	}
}

void calls_cancel(struct calls *c, const char *id)
{
	struct call_job *j;

	LIST_FOREACH(j, &c->jobs, entry)
	{
		if (!j->orphan && strcmp(j->in.id, id) == 0)
			atomic_store(&j->job.cancelled, true);
	}
}

void calls_cancel_all(struct calls *c)
{
	struct call_job *j;

	LIST_FOREACH(j, &c->jobs, entry)
	{
		atomic_store(&j->job.cancelled, true);
	}
}

void calls_lost(struct calls *c)
{
	struct call_job *j;

	LIST_FOREACH(j, &c->jobs, entry)
	{
		j->orphan = true;
		atomic_store(&j->job.cancelled, true);
	}
}

static void finish(struct link *l, struct call_job *j)
{
	long long took = (long long)(clock_mono_ms() - j->started_ms);
	char who[LINK_CALLER_MAX];

	(void)link_caller(&j->in, who);
	if (l == NULL || j->orphan) {
		log_info("call %s of %s by %s dropped after %lld ms: the connection is gone",
			j->in.request_id, tool_name(&j->in), who, took);
		return;
	}
	log_info("call %s of %s by %s: %s in %lld ms", j->in.request_id, tool_name(&j->in), who,
		j->answer.outcome, took);
	link_result(l, j->in.id, j->answer.outcome, j->answer.snapshot_id, &j->result);
}

void calls_collect(struct calls *c, struct link *l)
{
	while (c->executor != NULL && (l == NULL || link_has_room(l))) {
		struct job *job = executor_finished(c->executor);
		if (job == NULL)
			return;
		finish(l, (struct call_job *)job);
		free_job(c, (struct call_job *)job);
	}
}

size_t calls_count(const struct calls *c)
{
	return c->count;
}

void calls_stop(struct calls *c)
{
	if (c->stopped)
		return;
	c->stopped = true;
	executor_stop(c->executor);
}

void calls_free(struct calls *c)
{
	if (c == NULL)
		return;
	calls_stop(c);
	calls_lost(c);
	calls_collect(c, NULL);
	executor_free(c->executor);
	free(c);
}
