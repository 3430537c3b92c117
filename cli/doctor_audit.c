/* What the doctor has to say about the audit log and what is made of it. */
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "cli/audit_verify.h"
#include "cli/doctor_internal.h"
#include "shared/audit_index.h"

/* The index is this far behind at most while it is kept up. */
#define INDEX_BEHIND_ROWS ((int64_t)3 * AUDIT_BLOCK_ROWS)
/* Closed files that wait for the archive at a time, and nobody need care. */
#define UNARCHIVED_MAX 2

/* --- the log ------------------------------------------------------------------------------- */

static void judge_log(struct doctor *d, const struct audit_verify *v)
{
	const struct audit_chain *c = &v->chain;

	if (c->fault == AUDIT_FAULT_KEY)
		doctor_find(d, "audit_chain", DOCTOR_FAULT,
			"Put the key back that signed the log; see docs/backup.md.",
			"%s:%lld: the log is signed with another key than %s", v->file,
			(long long)v->line, d->c.cp_private_key_path);
	/* What a crash has torn is repaired by the next start, and a young log has no signature. */
	else if (c->fault && c->fault != AUDIT_FAULT_TORN &&
		!(c->fault == AUDIT_FAULT_UNSIGNED && c->checkpoints == 0))
		doctor_find(d, "audit_chain", DOCTOR_FAULT,
			"Keep the files as they are and find out who changed them; airlockctl "
			"audit "
			"verify says more.",
			"%s:%lld: %s", v->file, (long long)v->line, c->why);
	else
		doctor_find(d, "audit_chain", DOCTOR_GOOD, "", "%s holds up to row %lld",
			v->newest ? "the end of the log" : "the whole log", (long long)c->seq);
}

void doctor_audit_log(struct doctor *d)
{
	enum audit_verify_part part =
		args_has(d->args, ARG_FULL) ? AUDIT_VERIFY_WHOLE : AUDIT_VERIFY_NEWEST;
	struct audit_chain_options o = {.have_key = d->have_key};
	struct audit_files f;
	struct audit_verify v;
	enum rc rc;

	if (d->have_key)
		memcpy(o.key, d->id.public_key, sizeof(o.key));
	rc = audit_verify_log(d->c.audit_log_path, part, &o, &f, &v);
	if (rc == RC_NOTFOUND || (rc == RC_OK && !v.chain.fault && v.chain.lines == 0)) {
		doctor_find(
			d, "audit_chain", DOCTOR_SKIPPED, "", "nothing was written to the log yet");
	} else if (rc != RC_OK) {
		doctor_find(d, "audit_chain", DOCTOR_FAULT,
			"See who owns it, and whether the volume is sound.", "%s: %s", v.file,
			strerror(errno));
	} else {
		d->log_seq = v.chain.seq;
		judge_log(d, &v);
	}
	audit_files_close(&f);
}

/* --- the search index ------------------------------------------------------------------------ */

static void judge_index(struct doctor *d, const char *path, const struct audit_index_state *s)
{
	static const char reindex[] = "airlockctl audit reindex makes it anew from the log.";
	int64_t behind = d->log_seq - s->last;

	if (!s->sound)
		doctor_find(d, "audit_index", DOCTOR_WARNING, reindex,
			"%s is damaged or of another version: searches read the log itself", path);
	else if (behind > INDEX_BEHIND_ROWS)
		doctor_find(d, "audit_index", DOCTOR_WARNING,
			"airlock-tunneld catches up by itself while it runs; if it does not, its "
			"log says "
			"why. airlockctl audit reindex makes it anew.",
			"%s ends at row %lld, %lld rows behind the log: searches miss what is "
			"between",
			path, (long long)s->last, (long long)behind);
	else
		doctor_find(d, "audit_index", DOCTOR_GOOD, "",
			"%s is good; the rows behind row %lld are read from the log", path,
			(long long)s->last);
}

void doctor_audit_index(struct doctor *d)
{
	struct audit_index_state s;
	char path[PATH_MAX];

	if (audit_index_path(d->c.audit_log_path, d->c.audit_index_path, path) != RC_OK)
		doctor_find(d, "audit_index", DOCTOR_FAULT, "Give audit.index_path a shorter path.",
			"the path of the search index is too long");
	else if (d->log_seq == 0)
		doctor_find(d, "audit_index", DOCTOR_SKIPPED, "",
			"there is nothing in the log that could be searched");
	else if (access(path, F_OK) != 0)
		doctor_find(d, "audit_index", DOCTOR_WARNING,
			"airlock-tunneld makes it while it runs; airlockctl audit reindex makes it "
			"now.",
			"%s is missing: searches read the log itself", path);
	else {
		audit_index_look(path, args_has(d->args, ARG_FULL), &s);
		judge_index(d, path, &s);
	}
}

/* --- the archive ------------------------------------------------------------------------------ */

void doctor_audit_archive(struct doctor *d, const struct msg *pong)
{
	int64_t waiting;

	if (!*d->c.audit_archive_command || msg_int(pong, "audit_unarchived", &waiting) != RC_OK)
		return;
	if (!msg_flag(pong, "audit_archive_ok"))
		doctor_find(d, "audit_archive", DOCTOR_FAULT,
			"Run the command by hand as the daemon's user; what it printed is in the "
			"daemon's "
			"log. Until it ends with status 0 no file is deleted.",
			"audit.archive_command fails, and %lld closed files wait for it",
			(long long)waiting);
	else if (waiting > UNARCHIVED_MAX)
		doctor_find(d, "audit_archive", DOCTOR_WARNING,
			"See how long the command takes for one file; audit.command_timeout_s ends "
			"it.",
			"%lld closed files wait for audit.archive_command", (long long)waiting);
	else
		doctor_find(d, "audit_archive", DOCTOR_GOOD, "",
			"audit.archive_command works; %lld closed files wait for it",
			(long long)waiting);
}
