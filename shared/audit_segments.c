#include "shared/audit_segments.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/audit_zst.h"
#include "shared/file.h"
#include "shared/mem.h"

#define SUFFIX ".jsonl"
#define DIGITS 12

/* "audit" of "/state/audit.jsonl"; any other name keeps its ending in the middle. */
static const char *stem(const char *path, size_t *len)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	size_t suffix = sizeof(SUFFIX) - 1;

	*len = strlen(name);
	if (*len > suffix && strcmp(name + *len - suffix, SUFFIX) == 0)
		*len -= suffix;
	return name;
}

enum rc audit_segment_path(const char *path, int64_t first, int64_t last, char out[PATH_MAX])
{
	size_t len;
	const char *name = stem(path, &len);
	int n = snprintf(out, PATH_MAX, "%.*s%.*s-%0*lld-%0*lld" SUFFIX, (int)(name - path), path,
		(int)len, name, DIGITS, (long long)first, DIGITS, (long long)last);

	return n > 0 && n < PATH_MAX ? RC_OK : RC_LIMIT;
}

static bool number(const char **at, int64_t *out)
{
	const char *start = *at;
	int64_t n = 0;

	while (**at >= '0' && **at <= '9' && *at - start < 18)
		n = n * 10 + *(*at)++ - '0';
	*out = n;
	return *at - start >= DIGITS;
}

static bool parse(const char *file, const char *name, size_t len, struct audit_segment *s)
{
	const char *at = file + len;

	if (strncmp(file, name, len) != 0 || *at++ != '-' || !number(&at, &s->first) ||
		*at++ != '-' || !number(&at, &s->last))
		return false;
	s->compressed = strcmp(at, SUFFIX AUDIT_ZST_SUFFIX) == 0;
	return (s->compressed || strcmp(at, SUFFIX) == 0) && s->first > 0 && s->last >= s->first;
}

static int by_first(const void *a, const void *b)
{
	const struct audit_segment *x = a, *y = b;

	if (x->first != y->first)
		return (x->first > y->first) - (x->first < y->first);
	return x->compressed - y->compressed;
}

/* Sorted: what has the rows of the one before it is its compressed form. */
static size_t drop_twins(struct audit_segment *list, size_t count)
{
	size_t kept = 0;

	for (size_t i = 0; i < count; i++) {
		if (kept > 0 && list[i].compressed && list[kept - 1].first == list[i].first &&
			list[kept - 1].last == list[i].last)
			free(list[i].path);
		else
			list[kept++] = list[i];
	}
	return kept;
}

enum rc audit_segments_list(const char *path, struct audit_segment **list, size_t *count)
{
	struct audit_segment *found = NULL, s;
	char dir[PATH_MAX], full[2 * PATH_MAX];
	const struct dirent *e;
	size_t len, n = 0;
	const char *name = stem(path, &len);
	DIR *d = file_dir(path, dir) ? opendir(dir) : NULL;

	if (!d)
		return RC_UNAVAILABLE;
	while ((e = readdir(d))) {
		if (!parse(e->d_name, name, len, &s))
			continue;
		(void)snprintf(full, sizeof(full), "%s/%s", dir, e->d_name);
		s.path = xstrdup(full);
		if (n % 64 == 0)
			found = xrealloc(found, (n + 64) * sizeof(*found));
		found[n++] = s;
	}
	(void)closedir(d);
	if (n > 1)
		qsort(found, n, sizeof(*found), by_first);
	*list = found;
	*count = drop_twins(found, n);
	return RC_OK;
}

int audit_segment_open(const char *path)
{
	char packed[PATH_MAX + sizeof(AUDIT_ZST_SUFFIX)];
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd >= 0 || errno != ENOENT)
		return fd;
	(void)snprintf(packed, sizeof(packed), "%s" AUDIT_ZST_SUFFIX, path);
	return open(packed, O_RDONLY | O_CLOEXEC);
}

void audit_segments_free(struct audit_segment *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(list[i].path);
	free(list);
}
