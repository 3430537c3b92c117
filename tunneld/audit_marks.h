/* audit_marks: how far the audit log's keeper has come, in small files beside the log: up to which
 * row files are archived (<log>.archived), and for which tenant rows have been taken out up to
 * where
 * (<log>.expired). A lost file costs work that is done again, no row. */
#ifndef TUNNELD_AUDIT_MARKS_H
#define TUNNELD_AUDIT_MARKS_H

#include <stddef.h>
#include <stdint.h>

#include "shared/audit.h"
#include "shared/rc.h"

struct audit_mark {
	char name[AUDIT_ID_MAX + 1];
	int64_t seq;
};
struct audit_marks {
	char *path;
	struct audit_mark *list;
	size_t count;
};

/* What can't be read counts as nothing. */
void audit_marks_load(struct audit_marks *m, const char *log_path, const char *suffix);
void audit_marks_free(struct audit_marks *m);
int64_t audit_marks_get(const struct audit_marks *m, const char *name);
/* In memory; audit_marks_save() makes it last. */
void audit_marks_set(struct audit_marks *m, const char *name, int64_t seq);
/* RC_UNAVAILABLE, logged. */
enum rc audit_marks_save(const struct audit_marks *m) MUST_CHECK;

#endif
