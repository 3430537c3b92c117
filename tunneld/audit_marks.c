#include "tunneld/audit_marks.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/buf.h"
#include "shared/file.h"
#include "shared/log.h"
#include "shared/mem.h"

#define BYTES_MAX ((size_t)16 * 1024 * 1024)

static struct audit_mark *find(const struct audit_marks *m, const char *name)
{
	for (size_t i = 0; i < m->count; i++)
		if (!strcmp(m->list[i].name, name))
			return &m->list[i];
	return NULL;
}

int64_t audit_marks_get(const struct audit_marks *m, const char *name)
{
	const struct audit_mark *mark = find(m, name);

	return mark ? mark->seq : 0;
}

void audit_marks_set(struct audit_marks *m, const char *name, int64_t seq)
{
	struct audit_mark *mark = find(m, name);

	if (!mark) {
		m->list = xrealloc(m->list, (m->count + 1) * sizeof(*m->list));
		mark = &m->list[m->count++];
		(void)str_copy(mark->name, sizeof(mark->name), name);
	}
	mark->seq = seq;
}

void audit_marks_load(struct audit_marks *m, const char *log_path, const char *suffix)
{
	char path[PATH_MAX], *text, *line, *next;
	size_t len;

	*m = (struct audit_marks){0};
	(void)snprintf(path, sizeof(path), "%s.%s", log_path, suffix);
	m->path = xstrdup(path);
	file_sweep(path);
	if (file_read(path, BYTES_MAX, &text, &len) != RC_OK)
		return;
	for (line = text; (next = strchr(line, '\n')); line = next + 1) {
		char *space = memchr(line, ' ', (size_t)(next - line));

		*next = '\0';
		if (!space)
			continue;
		*space = '\0';
		audit_marks_set(m, line, strtoll(space + 1, NULL, 10));
	}
	free(text);
}

void audit_marks_free(struct audit_marks *m)
{
	free(m->path);
	free(m->list);
	*m = (struct audit_marks){0};
}

enum rc audit_marks_save(const struct audit_marks *m)
{
	struct buf b;
	enum rc rc;

	buf_init(&b, BYTES_MAX);
	for (size_t i = 0; i < m->count; i++)
		buf_printf(&b, "%s %lld\n", m->list[i].name, (long long)m->list[i].seq);
	rc = b.failed ? RC_LIMIT : file_write_atomic(m->path, b.data, b.len, 0600);
	buf_free(&b);
	if (rc == RC_OK)
		return RC_OK;
	log_err("%s can't be written: %s", m->path, strerror(errno));
	return RC_UNAVAILABLE;
}
