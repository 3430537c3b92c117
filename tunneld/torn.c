#include "tunneld/torn.h"

#include <errno.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "shared/clock.h"
#include "shared/file.h"
#include "shared/log.h"
#include "shared/mem.h"
#include "shared/text.h"
#include "tunneld/audit_writer.h"

#define UNRECORDED ".unrecorded"

enum rc torn_set_aside(const char *journal, const void *bytes, size_t len)
{
	char path[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s.torn-%lld" UNRECORDED, journal,
		    (long long)clock_wall_ms()) >= (int)sizeof(path) ||
		file_write_atomic(path, bytes, len, 0600) != RC_OK) {
		log_err("cannot set the unfinished last line of %s aside: %s", journal,
			strerror(errno));
		return RC_INTERNAL;
	}
	log_warn("the last line of %s was unfinished; its %zu bytes are set aside", journal, len);
	return RC_OK;
}

struct torn {
	struct audit_entry entry;
	char unrecorded[PATH_MAX], recorded[PATH_MAX];
};

/* A row that could not be written is tried again at the next start. */
static void on_recorded(struct audit_entry *e, bool durable)
{
	struct torn *t = (struct torn *)(void *)((char *)e - offsetof(struct torn, entry));

	if (durable && rename(t->unrecorded, t->recorded) != 0)
		log_warn("cannot rename %s, so the next start will record it again: %s",
			t->unrecorded, strerror(errno));
	free(t);
}

static void record(struct audit_writer *w, const char *path)
{
	size_t len = strlen(path) - strlen(UNRECORDED);
	struct torn *t = xcalloc(1, sizeof(*t));
	struct audit_record *r = &t->entry.record;
	const char *name;
	struct stat st;

	audit_init(r, "journal.repaired");
	if (stat(path, &st) != 0 || !str_copy(t->unrecorded, sizeof(t->unrecorded), path) ||
		!str_copy_len(t->recorded, sizeof(t->recorded), path, len)) {
		log_warn("cannot look at %s: %s", path, strerror(errno));
		free(t);
		return;
	}
	name = strrchr(t->recorded, '/') ? strrchr(t->recorded, '/') + 1 : t->recorded;
	(void)str_copy(r->actor_kind, sizeof(r->actor_kind), "system");
	(void)str_copy(r->outcome, sizeof(r->outcome), "ok");
	(void)str_copy(r->target, sizeof(r->target), name);
	(void)snprintf(r->change, sizeof(r->change), "{\"bytes\":%lld}", (long long)st.st_size);
	t->entry.done = on_recorded;
	t->entry.patient = true;
	audit_writer_add(w, &t->entry);
}

void torn_record(struct audit_writer *w, const char *journal)
{
	char pattern[PATH_MAX];
	glob_t found;

	if (snprintf(pattern, sizeof(pattern), "%s.torn-*" UNRECORDED, journal) >=
		(int)sizeof(pattern))
		return;
	if (glob(pattern, 0, NULL, &found) != 0)
		return;
	for (size_t i = 0; i < found.gl_pathc; i++)
		record(w, found.gl_pathv[i]);
	globfree(&found);
}
