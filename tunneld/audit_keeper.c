#include "tunneld/audit_keeper.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/audit_form.h"
#include "shared/audit_reader.h"
#include "shared/audit_rewrite.h"
#include "shared/audit_segments.h"
#include "shared/audit_zst.h"
#include "shared/clock.h"
#include "shared/db.h"
#include "shared/file.h"
#include "shared/log.h"
#include "shared/mem.h"
#include "shared/store.h"
#include "shared/text.h"
#include "tunneld/audit_marks.h"
#include "tunneld/command.h"

#define LOOK_MS 1000
#define ROUND_MS 60000
#define HEAD_MS 10000
#define BACKOFF_MIN_MS 1000
#define BACKOFF_MAX_MS 300000
#define DAY_MS ((int64_t)86400 * 1000)
#define OTHERS "*" /* all tenants without a rule of their own */
#define HASH_HEX (AUDIT_HASH_LEN + 1)

struct backoff {
	int64_t wait_ms, until_ms;
};

/* What the thread needs of the configuration: its own, for a reload frees the daemon's. */
struct rules {
	char *log_path, *state_path;
	char *archive_command, *head_command; /* "": none */
	int command_timeout_s;
	int tenant_keep_days, keep_days; /* 0: for ever */
	int64_t keep_bytes; /* 0: as many as there are */
	bool compress;
};

struct audit_keeper {
	struct rules rules;
	const struct crypto_identity *identity;
	struct audit_writer *writer;
	pthread_t thread;
	pthread_mutex_t lock; /* over stats */
	int stop;
	struct audit_keeper_stats stats;

	/* The thread's own. */
	struct db *db; /* NULL: not open yet */
	struct audit_marks archived, expired;
	struct backoff archive, head;
	int64_t head_seq, head_after_ms;
	int64_t damaged_first; /* the file that was complained about */

	/* Of one round. */
	int64_t wall_ms;
	struct audit_segment *list;
	size_t count;
	struct tenant_keep *keeps;
	size_t keep_count;
	int64_t end_ms; /* of the file that rows are taken out of */
};

static bool stopping(const struct audit_keeper *k)
{
	struct pollfd fd = {.fd = k->stop, .events = POLLIN};

	return k->stop >= 0 && poll(&fd, 1, 0) > 0;
}

static void fail_later(struct backoff *b)
{
	b->wait_ms = b->wait_ms == 0              ? BACKOFF_MIN_MS
		: b->wait_ms < BACKOFF_MAX_MS / 2 ? 2 * b->wait_ms
						  : BACKOFF_MAX_MS;
	b->until_ms = clock_mono_ms() + b->wait_ms;
}

#define COUNT(k, change)                                \
	do {                                            \
		(void)pthread_mutex_lock(&(k)->lock);   \
		(k)->stats.change;                      \
		(void)pthread_mutex_unlock(&(k)->lock); \
	} while (0)

/* --- what is there ---------------------------------------------------------------------------- */

/* The first line with a time: when the file before it had ended. 0: not known. prev, when not NULL,
 * gets the hash of that file's last line. */
static int64_t begin_of(const char *path, char prev[HASH_HEX])
{
	struct audit_reader *in;
	struct audit_form form;
	const char *line;
	int64_t seq, ms = 0;
	bool first = true;
	size_t len;

	if (audit_reader_open(path, &in) != RC_OK)
		return 0;
	while (ms == 0 && audit_reader_line(in, &line, &len) == RC_OK) {
		if (!audit_form_read(line, len, &form))
			break;
		if (first && prev)
			text_hex(form.prev, sizeof(form.prev), prev);
		first = false;
		if (form.kind != AUDIT_FORM_SEAL && !audit_line_head(line, len, &seq, &ms))
			ms = 0;
	}
	audit_reader_close(in);
	return ms;
}

static const char *next_path(const struct audit_keeper *k, size_t i)
{
	return i + 1 < k->count ? k->list[i + 1].path : k->rules.log_path;
}

/* All rows of file i are older than this; INT64_MAX: not known. */
static int64_t end_of(const struct audit_keeper *k, size_t i)
{
	int64_t ms = begin_of(next_path(k, i), NULL);

	return ms > 0 ? ms : INT64_MAX;
}

/* While the log is being rotated it has the name of its closed file too. */
static void drop_current(struct audit_keeper *k)
{
	struct stat own, st;

	if (k->count == 0 || stat(k->rules.log_path, &own) != 0 ||
		stat(k->list[k->count - 1].path, &st) != 0 || own.st_ino != st.st_ino ||
		own.st_dev != st.st_dev)
		return;
	free(k->list[--k->count].path);
}

static bool look(struct audit_keeper *k)
{
	audit_segments_free(k->list, k->count);
	k->list = NULL;
	k->count = 0;
	if (audit_segments_list(k->rules.log_path, &k->list, &k->count) != RC_OK) {
		log_err("cannot look for closed files of the audit log: %s", strerror(errno));
		return false;
	}
	drop_current(k);
	return true;
}

static int64_t size_of(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 ? (int64_t)st.st_size : 0;
}

static void count_files(struct audit_keeper *k)
{
	int64_t bytes = 0, unarchived = 0, done = audit_marks_get(&k->archived, OTHERS);

	for (size_t i = 0; i < k->count; i++) {
		bytes += size_of(k->list[i].path);
		unarchived += *k->rules.archive_command && k->list[i].last > done;
	}
	(void)pthread_mutex_lock(&k->lock);
	k->stats.segments = (int64_t)k->count;
	k->stats.bytes = bytes;
	k->stats.unarchived = unarchived;
	(void)pthread_mutex_unlock(&k->lock);
}

static const char *name_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* --- archiving ----------------------------------------------------------------------------------
 */

static bool is_archived(const struct audit_keeper *k, size_t i)
{
	return !*k->rules.archive_command ||
		k->list[i].last <= audit_marks_get(&k->archived, OTHERS);
}

static enum command_end run(const struct audit_keeper *k, const char *name, const char *text,
	const struct command_word *words, size_t count, const char *const *env)
{
	enum command_end end = COMMAND_FAILED;
	struct buf command;

	buf_init(&command, 65536);
	if (command_expand(text, words, count, &command) != RC_OK)
		log_err("%s can't be run: a %% stands before a letter that means nothing, or the "
			"path of the log has characters that a shell would not leave alone",
			name);
	else {
		buf_char(&command, '\0');
		end = command.failed ? COMMAND_FAILED
				     : command_run(name, (const char *)command.data, env,
					       k->rules.command_timeout_s * 1000, k->stop);
	}
	buf_free(&command);
	return end;
}

static bool archive_one(struct audit_keeper *k, const struct audit_segment *s)
{
	const struct command_word words[] = {{'p', s->path}, {'f', name_of(s->path)}};
	static const char *const env[] = {NULL};
	enum command_end end =
		run(k, "audit.archive_command", k->rules.archive_command, words, 2, env);

	if (end == COMMAND_STOPPED)
		return false;
	if (end == COMMAND_OK) {
		audit_marks_set(&k->archived, OTHERS, s->last);
		end = audit_marks_save(&k->archived) == RC_OK ? COMMAND_OK : COMMAND_FAILED;
	}
	COUNT(k, archive_ok = end == COMMAND_OK);
	if (end != COMMAND_OK) {
		COUNT(k, archive_failures++);
		fail_later(&k->archive);
		return false;
	}
	COUNT(k, archived++);
	COUNT(k, unarchived--);
	k->archive = (struct backoff){0};
	return true;
}

static void archive_all(struct audit_keeper *k)
{
	if (clock_mono_ms() < k->archive.until_ms)
		return;
	for (size_t i = 0; i < k->count && !stopping(k); i++)
		if (!is_archived(k, i) && !archive_one(k, &k->list[i]))
			return;
}

/* --- rows whose retention is over --------------------------------------------------------------
 */

static int64_t days_of(const struct audit_keeper *k, const char *tenant_id)
{
	size_t low = 0, high = k->keep_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(k->keeps[middle].id, tenant_id);

		if (order == 0)
			return k->keeps[middle].days;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return k->rules.tenant_keep_days;
}

static bool over(const struct audit_keeper *k, int64_t days)
{
	return days > 0 && k->end_ms < k->wall_ms - days * DAY_MS;
}

static bool expired(void *ctx, const char *tenant_id)
{
	const struct audit_keeper *k = ctx;

	return over(k, days_of(k, tenant_id));
}

/* Is this file to be gone through for anybody? With mark it is noted that it was. */
static bool due(struct audit_keeper *k, const struct audit_segment *s, bool mark)
{
	bool any = false;

	for (size_t i = 0; i <= k->keep_count; i++) {
		const char *id = i < k->keep_count ? k->keeps[i].id : OTHERS;
		int64_t days = i < k->keep_count ? k->keeps[i].days : k->rules.tenant_keep_days;

		if (!over(k, days) || audit_marks_get(&k->expired, id) >= s->last)
			continue;
		any = true;
		if (mark)
			audit_marks_set(&k->expired, id, s->last);
	}
	return any;
}

static void complain(
	struct audit_keeper *k, const struct audit_segment *s, enum rc rc, const char *why)
{
	if (k->damaged_first == s->first)
		return;
	k->damaged_first = s->first;
	if (rc == RC_INVALID)
		log_err("%s does not hold, so it is left as it is: %s", s->path, why);
	else
		log_err("%s can't be written anew: %s", s->path, strerror(errno));
	COUNT(k, damaged++);
}

static bool rewrite(
	struct audit_keeper *k, size_t i, const char *to, bool compress, bool expire, int64_t *rows)
{
	char scratch[PATH_MAX], why[AUDIT_REWRITE_WHY] = "";
	struct audit_rewrite how = {.from = &k->list[i],
		.to = to,
		.scratch = scratch,
		.compress = compress,
		.expired = expire ? expired : NULL,
		.ctx = k,
		.identity = k->identity,
		.wall_ms = k->wall_ms};
	enum rc rc;

	if (snprintf(scratch, sizeof(scratch), "%s.rewriting", k->rules.log_path) >=
		(int)sizeof(scratch))
		return false;
	rc = audit_rewrite(&how, rows, why);
	if (rc != RC_OK)
		complain(k, &k->list[i], rc, why);
	return rc == RC_OK;
}

/* Tells the log what was done to it; false: it can't be written. */
static bool note(struct audit_keeper *k, const char *event, size_t i, const char *change)
{
	struct audit_record r;
	const struct audit_record *one = &r;
	size_t written;

	audit_init(&r, event);
	(void)str_copy(r.actor_kind, sizeof(r.actor_kind), "system");
	(void)str_copy(r.outcome, sizeof(r.outcome), "ok");
	(void)str_copy(r.target, sizeof(r.target), name_of(k->list[i].path));
	(void)str_copy(r.change, sizeof(r.change), change);
	return audit_writer_append(k->writer, &one, 1, &written) == RC_OK;
}

static bool expire_one(struct audit_keeper *k, size_t i)
{
	const struct audit_segment *s = &k->list[i];
	char change[160];
	int64_t rows = 0;

	if (!rewrite(k, i, s->path, s->compressed, true, &rows))
		return false;
	if (rows > 0) {
		COUNT(k, expired_rows += (uint64_t)rows);
		(void)snprintf(change, sizeof(change),
			"{\"first\":%lld,\"last\":%lld,\"rows\":%lld}", (long long)s->first,
			(long long)s->last, (long long)rows);
		log_info("%lld rows of %s have expired", (long long)rows, s->path);
		(void)note(k, "audit.expire", i, change); /* the file's seal says it too */
	}
	(void)due(k, s, true);
	return audit_marks_save(&k->expired) == RC_OK;
}

static bool load_rules(struct audit_keeper *k)
{
	free(k->keeps);
	k->keeps = NULL;
	k->keep_count = 0;
	if (!k->db && db_open(k->rules.state_path, &k->db) != RC_OK) {
		k->db = NULL;
		return false;
	}
	return tenant_keep_list(k->db, &k->keeps, &k->keep_count) == RC_OK;
}

static bool any_rule(const struct audit_keeper *k)
{
	for (size_t i = 0; i < k->keep_count; i++)
		if (k->keeps[i].days > 0)
			return true;
	return k->rules.tenant_keep_days > 0;
}

static void expire_all(struct audit_keeper *k)
{
	if (!load_rules(k) || !any_rule(k))
		return;
	for (size_t i = 0; i < k->count && is_archived(k, i) && !stopping(k); i++) {
		k->end_ms = end_of(k, i);
		if (due(k, &k->list[i], false) && !expire_one(k, i))
			return;
	}
}

/* --- compressing and deleting ------------------------------------------------------------------
 */

/* The newest closed file stays as it is: a start of the daemon reads its end. */
static bool is_newest(const struct audit_keeper *k, size_t i)
{
	return i + 1 == k->count;
}

static bool compress_one(struct audit_keeper *k, size_t i)
{
	char to[PATH_MAX];
	int64_t rows;

	if (snprintf(to, sizeof(to), "%s" AUDIT_ZST_SUFFIX, k->list[i].path) >= (int)sizeof(to) ||
		!rewrite(k, i, to, true, false, &rows))
		return false;
	if (unlink(k->list[i].path) != 0 || file_sync_dir(to) != RC_OK) {
		complain(k, &k->list[i], RC_UNAVAILABLE, "");
		return false;
	}
	COUNT(k, compressed++);
	return true;
}

static void compress_all(struct audit_keeper *k)
{
	for (size_t i = 0; k->rules.compress && i < k->count && !stopping(k); i++)
		if (!k->list[i].compressed && !is_newest(k, i) && is_archived(k, i))
			(void)compress_one(k, i);
}

/* Both of its forms: a kill can leave two. */
static bool remove_files(const struct audit_segment *s)
{
	char other[PATH_MAX];

	if (!s->compressed &&
		snprintf(other, sizeof(other), "%s" AUDIT_ZST_SUFFIX, s->path) < (int)sizeof(other))
		(void)unlink(other);
	return unlink(s->path) == 0 && file_sync_dir(s->path) == RC_OK;
}

/* First the log says it, then it is done. */
static bool delete_one(struct audit_keeper *k, size_t i, const char *reason)
{
	const struct audit_segment *s = &k->list[i];
	char hash[HASH_HEX] = "", change[256];

	(void)begin_of(next_path(k, i), hash);
	(void)snprintf(change, sizeof(change),
		"{\"first\":%lld,\"last\":%lld,\"hash\":\"%s\",\"reason\":\"%s\"}",
		(long long)s->first, (long long)s->last, hash, reason);
	if (!note(k, "audit.delete", i, change))
		return false;
	if (!remove_files(s)) {
		log_err("cannot delete %s: %s", s->path, strerror(errno));
		return false;
	}
	log_info("deleted %s: %s", s->path, reason);
	COUNT(k, deleted++);
	return true;
}

static void delete_all(struct audit_keeper *k)
{
	const struct rules *r = &k->rules;
	int64_t bytes = 0;

	for (size_t i = 0; i < k->count; i++)
		bytes += size_of(k->list[i].path);
	for (size_t i = 0; i < k->count && !is_newest(k, i) && is_archived(k, i) && !stopping(k);
		i++) {
		int64_t size = size_of(k->list[i].path);
		bool old = r->keep_days > 0 &&
			end_of(k, i) < k->wall_ms - (int64_t)r->keep_days * DAY_MS;
		bool much = r->keep_bytes > 0 && bytes > r->keep_bytes;

		if ((!old && !much) || !delete_one(k, i, old ? "age" : "size"))
			return;
		bytes -= size;
	}
}

static void keep(struct audit_keeper *k, int64_t wall_ms)
{
	k->wall_ms = wall_ms;
	if (!look(k))
		return;
	count_files(k); /* a command takes its time, and so many wait for it meanwhile */
	archive_all(k);
	expire_all(k);
	compress_all(k);
	if (look(k))
		delete_all(k);
	if (look(k))
		count_files(k);
}

/* --- heads --------------------------------------------------------------------------------------
 */

static void push_head(struct audit_keeper *k, const struct audit_stats *now)
{
	char seq[24], ts[CLOCK_TEXT_LEN + 1], env_seq[64], env_hash[128], env_ts[64];
	const struct command_word words[] = {{'s', seq}, {'h', now->head_hash}, {'t', ts}};
	const char *const env[] = {env_seq, env_hash, env_ts, NULL};
	enum command_end end;

	if (!*k->rules.head_command || now->head_seq <= k->head_seq ||
		clock_mono_ms() < k->head_after_ms || clock_mono_ms() < k->head.until_ms)
		return;
	(void)snprintf(seq, sizeof(seq), "%lld", (long long)now->head_seq);
	clock_text(now->head_ms, ts);
	(void)snprintf(env_seq, sizeof(env_seq), "AIRLOCK_AUDIT_SEQ=%s", seq);
	(void)snprintf(env_hash, sizeof(env_hash), "AIRLOCK_AUDIT_HASH=%s", now->head_hash);
	(void)snprintf(env_ts, sizeof(env_ts), "AIRLOCK_AUDIT_TIME=%s", ts);
	end = run(k, "audit.head_command", k->rules.head_command, words, 3, env);
	if (end == COMMAND_STOPPED)
		return;
	COUNT(k, head_ok = end == COMMAND_OK);
	if (end != COMMAND_OK) {
		COUNT(k, push_failures++);
		fail_later(&k->head);
		return;
	}
	k->head = (struct backoff){0};
	k->head_seq = now->head_seq;
	k->head_after_ms = clock_mono_ms() + HEAD_MS;
	COUNT(k, pushed++);
	COUNT(k, head_seq = now->head_seq);
}

/* --- the thread ---------------------------------------------------------------------------------
 */

static bool sleep_or_stop(const struct audit_keeper *k)
{
	struct pollfd fd = {.fd = k->stop, .events = POLLIN};

	return poll(&fd, 1, LOOK_MS) > 0;
}

static void *run_thread(void *ctx)
{
	struct audit_keeper *k = ctx;
	uint64_t rotations = UINT64_MAX; /* the first round is at once */
	int64_t next_ms = 0;
	struct audit_stats now;

	do {
		audit_writer_stats(k->writer, &now);
		push_head(k, &now);
		if (now.rotations == rotations && clock_mono_ms() < next_ms &&
			(k->archive.wait_ms == 0 || clock_mono_ms() < k->archive.until_ms))
			continue;
		rotations = now.rotations;
		next_ms = clock_mono_ms() + ROUND_MS;
		keep(k, clock_wall_ms());
	} while (!sleep_or_stop(k));
	return NULL;
}

static struct rules rules_of(const struct config *c)
{
	return (struct rules){.log_path = xstrdup(c->audit_log_path),
		.state_path = xstrdup(c->state_path),
		.archive_command = xstrdup(c->audit_archive_command),
		.head_command = xstrdup(c->audit_head_command),
		.command_timeout_s = c->audit_command_timeout_s,
		.tenant_keep_days = c->audit_tenant_keep_days,
		.keep_days = c->audit_keep_days,
		.keep_bytes = c->audit_keep_bytes,
		.compress = c->audit_compress};
}

static void rules_free(struct rules *r)
{
	free(r->log_path);
	free(r->state_path);
	free(r->archive_command);
	free(r->head_command);
}

static void init(struct audit_keeper *k, const struct config *config,
	const struct crypto_identity *identity, struct audit_writer *writer)
{
	*k = (struct audit_keeper){.rules = rules_of(config),
		.identity = identity,
		.writer = writer,
		.stop = -1,
		.stats = {.archive_ok = true, .head_ok = true}};
	(void)pthread_mutex_init(&k->lock, NULL);
	audit_marks_load(&k->archived, config->audit_log_path, "archived");
	audit_marks_load(&k->expired, config->audit_log_path, "expired");
}

static void clear(struct audit_keeper *k)
{
	audit_segments_free(k->list, k->count);
	rules_free(&k->rules);
	audit_marks_free(&k->archived);
	audit_marks_free(&k->expired);
	free(k->keeps);
	db_close(k->db);
	if (k->stop >= 0)
		(void)close(k->stop);
	(void)pthread_mutex_destroy(&k->lock);
}

enum rc audit_keeper_open(const struct config *config, const struct crypto_identity *identity,
	struct audit_writer *writer, struct audit_keeper **out)
{
	struct audit_keeper *k = xcalloc(1, sizeof(*k));

	init(k, config, identity, writer);
	k->stop = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (k->stop < 0 || pthread_create(&k->thread, NULL, run_thread, k) != 0) {
		log_err("cannot start the thread that keeps the audit log's files");
		clear(k);
		free(k);
		return RC_INTERNAL;
	}
	*out = k;
	return RC_OK;
}

void audit_keeper_close(struct audit_keeper *k)
{
	const uint64_t one = 1;

	if (!k)
		return;
	(void)!write(k->stop, &one, sizeof(one));
	(void)pthread_join(k->thread, NULL);
	clear(k);
	free(k);
}

void audit_keeper_stats(struct audit_keeper *k, struct audit_keeper_stats *out)
{
	(void)pthread_mutex_lock(&k->lock);
	*out = k->stats;
	(void)pthread_mutex_unlock(&k->lock);
}

void audit_keeper_round(const struct config *config, const struct crypto_identity *identity,
	struct audit_writer *writer, int64_t wall_ms, struct audit_keeper_stats *out)
{
	struct audit_keeper k;
	struct audit_stats now;

	init(&k, config, identity, writer);
	audit_writer_stats(writer, &now);
	push_head(&k, &now);
	keep(&k, wall_ms);
	*out = k.stats;
	clear(&k);
}
