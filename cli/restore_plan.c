#include "cli/restore_plan.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/audit_segments.h"
#include "shared/file.h"
#include "shared/mem.h"

#define CHUNK ((size_t)65536)
/* A file on its way from another file system, beside its place. Of one name only, so that the
 * restore that completes a killed one writes over it. */
#define ON_ITS_WAY ".restoring"

struct item {
	char *from, *to;
};

struct restore_plan {
	const char *dir;
	const struct config *c;
	struct item *items;
	size_t count;
};

static enum status cannot(const char *what, const char *why)
{
	fprintf(stderr, "airlockctl: %s: %s\n", what, why);
	return STATUS_REFUSED;
}

static bool join(char out[PATH_MAX], const char *dir, const char *name)
{
	return snprintf(out, PATH_MAX, "%s/%s", dir, name) < PATH_MAX;
}

/* What comes behind the folder's name, or NULL. */
static const char *below(const char *name, const char *folder)
{
	size_t len = strlen(folder);

	return strncmp(name, folder, len) == 0 ? name + len : NULL;
}

/* --- making ---------------------------------------------------------------------------------- */

/* The place of a member; to is "" for one that is in the backup for others to read. False: it is
 * too long. */
static bool place_of(const struct config *c, const char *name, char to[PATH_MAX])
{
	char dir[PATH_MAX];
	const char *rest;

	if (strcmp(name, "config.yaml") == 0)
		return str_copy(to, PATH_MAX, c->config_path);
	if (strcmp(name, "state.db") == 0)
		return str_copy(to, PATH_MAX, c->state_path);
	if (strcmp(name, "cp_ed25519.pem") == 0)
		return str_copy(to, PATH_MAX, c->cp_private_key_path);
	/* The log may be called otherwise in its configuration than in the backup. */
	if (strcmp(name, "audit/audit.jsonl") == 0)
		return str_copy(to, PATH_MAX, c->audit_log_path);
	if ((rest = below(name, "audit/")))
		return file_dir(c->audit_log_path, dir) && join(to, dir, rest);
	if ((rest = below(name, "snapshots/")))
		return join(to, c->snapshot_dir, rest);
	to[0] = '\0';
	return true;
}

static bool add(struct restore_plan *p, const char *name)
{
	char from[PATH_MAX], to[PATH_MAX];

	if (!join(from, p->dir, name) || !place_of(p->c, name, to))
		return false;
	if (*to)
		p->items[p->count++] = (struct item){xstrdup(from), xstrdup(to)};
	return true;
}

struct restore_plan *restore_plan_new(
	const char *dir, const json_t *manifest, const struct config *c)
{
	const json_t *files = json_object_get(manifest, "files"), *file;
	struct restore_plan *p = xcalloc(1, sizeof(*p));
	const char *too_long = NULL;
	size_t i;

	*p = (struct restore_plan){.dir = dir, .c = c};
	p->items = xcalloc(json_array_size(files) + 1, sizeof(*p->items));
	json_array_foreach(files, i, file)
	{
		const char *name = json_string_value(json_object_get(file, "name"));

		if (name && strcmp(name, "config.yaml") != 0 && !add(p, name))
			too_long = name;
	}
	if (!too_long && add(p, "config.yaml"))
		return p;
	(void)cannot(too_long ? too_long : "config.yaml", "the path of its place is too long");
	restore_plan_free(p);
	return NULL;
}

void restore_plan_free(struct restore_plan *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->count; i++) {
		free(p->items[i].from);
		free(p->items[i].to);
	}
	free(p->items);
	free(p);
}

/* --- is there room? --------------------------------------------------------------------------- */

static enum status taken(const char *path)
{
	return cannot(path, "it is there already; a backup is restored into an empty state only");
}

static bool same_bytes(int a, int b, off_t size)
{
	char *buf = xmalloc(2 * CHUNK);
	bool same = true;

	for (off_t at = 0; same && at < size; at += (off_t)CHUNK) {
		size_t len = size - at < (off_t)CHUNK ? (size_t)(size - at) : CHUNK;

		same = file_read_at(a, buf, len, at) && file_read_at(b, buf + CHUNK, len, at) &&
			memcmp(buf, buf + CHUNK, len) == 0;
	}
	mem_wipe(buf, 2 * CHUNK);
	free(buf);
	return same;
}

static bool same_file(const char *a, const char *b)
{
	int x = open(a, O_RDONLY | O_CLOEXEC), y = open(b, O_RDONLY | O_CLOEXEC);
	struct stat s, t;
	bool same = x >= 0 && y >= 0 && fstat(x, &s) == 0 && fstat(y, &t) == 0 &&
		s.st_size == t.st_size && same_bytes(x, y, s.st_size);

	if (x >= 0)
		(void)close(x);
	if (y >= 0)
		(void)close(y);
	return same;
}

static enum status check_items(const struct restore_plan *p, bool again)
{
	for (size_t i = 0; i < p->count; i++) {
		const struct item *it = &p->items[i];

		if (access(it->to, F_OK) != 0)
			continue;
		if (!again)
			return taken(it->to);
		if (!same_file(it->from, it->to))
			return cannot(it->to,
				"it is not what the backup has, so the restore that began here did "
				"not put it there");
	}
	return STATUS_OK;
}

/* SQLite would take what an older database left for a part of the one that is put there. */
static enum status check_database(const struct restore_plan *p)
{
	static const char *const endings[] = {"-wal", "-journal", "-shm"};
	char path[PATH_MAX];

	for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++)
		if (snprintf(path, sizeof(path), "%s%s", p->c->state_path, endings[i]) < PATH_MAX &&
			access(path, F_OK) == 0)
			return taken(path);
	return STATUS_OK;
}

/* A closed file of the log that the backup does not have would become a part of it. */
static enum status check_segments(const struct restore_plan *p)
{
	struct audit_segment *segments = NULL;
	char own[PATH_MAX + sizeof("audit/")];
	enum status status = STATUS_OK;
	size_t count = 0;

	if (audit_segments_list(p->c->audit_log_path, &segments, &count) != RC_OK)
		return STATUS_OK; /* no directory yet */
	for (size_t i = 0; i < count && status == STATUS_OK; i++) {
		const char *name = strrchr(segments[i].path, '/') + 1;

		if (snprintf(own, sizeof(own), "%s/audit/%s", p->dir, name) >= (int)sizeof(own) ||
			access(own, F_OK) != 0)
			status = taken(segments[i].path);
	}
	audit_segments_free(segments, count);
	return status;
}

static bool on_its_way(const char *name)
{
	size_t len = strlen(name), end = sizeof(ON_ITS_WAY) - 1;

	return len > end && strcmp(name + len - end, ON_ITS_WAY) == 0;
}

/* Is each file in there that the backup has, and no other? Empty directories are nobody's. */
static enum status check_snapshots(const char *unpacked, const char *there, bool again)
{
	char own[PATH_MAX], path[PATH_MAX];
	enum status status = STATUS_OK;
	const struct dirent *e;
	struct stat st;
	DIR *d = opendir(there);

	while (d && status == STATUS_OK && (e = readdir(d))) {
		if (e->d_name[0] == '.' || (again && on_its_way(e->d_name)))
			continue;
		if (!join(own, unpacked, e->d_name) || !join(path, there, e->d_name) ||
			lstat(path, &st) != 0)
			status = cannot(there, "it can't be read");
		else if (S_ISDIR(st.st_mode))
			status = check_snapshots(own, path, again);
		else if (access(own, F_OK) != 0)
			status = taken(path);
	}
	if (d)
		(void)closedir(d);
	return status;
}

enum status restore_plan_check(const struct restore_plan *p, bool again)
{
	char unpacked[PATH_MAX];
	enum status status = check_items(p, again);

	if (status == STATUS_OK)
		status = check_database(p);
	if (status == STATUS_OK)
		status = check_segments(p);
	if (status == STATUS_OK && join(unpacked, p->dir, "snapshots"))
		status = check_snapshots(unpacked, p->c->snapshot_dir, again);
	return status;
}

/* --- moving ---------------------------------------------------------------------------------- */

static bool copy_bytes(int from, int to)
{
	ssize_t n;

	do
		n = sendfile(to, from, NULL, 16 * CHUNK);
	while (n > 0 || (n < 0 && errno == EINTR));
	return n == 0;
}

/* To another file system: beside its place first. */
static bool copy_over(const char *from, const char *to)
{
	char way[PATH_MAX];
	int in, out;
	bool ok;

	if (snprintf(way, sizeof(way), "%s" ON_ITS_WAY, to) >= PATH_MAX) {
		errno = ENAMETOOLONG;
		return false;
	}
	in = open(from, O_RDONLY | O_CLOEXEC);
	out = open(way, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	ok = in >= 0 && out >= 0 && copy_bytes(in, out) && fsync(out) == 0 && rename(way, to) == 0;
	int why = errno;
	if (in >= 0)
		(void)close(in);
	if (out >= 0)
		(void)close(out);
	if (!ok)
		(void)unlink(way);
	errno = why;
	return ok;
}

static enum status move(const struct item *it)
{
	char parent[PATH_MAX];

	if (!file_dir(it->to, parent))
		return cannot(it->to, "the path is too long");
	if (file_make_dirs(parent, 0700) != RC_OK)
		return cannot(parent, strerror(errno));
	if (rename(it->from, it->to) != 0 && (errno != EXDEV || !copy_over(it->from, it->to)))
		return cannot(it->to, strerror(errno));
	return file_sync_dir(it->to) == RC_OK ? STATUS_OK : cannot(it->to, strerror(errno));
}

enum status restore_plan_place(const struct restore_plan *p)
{
	enum status status = STATUS_OK;

	for (size_t i = 0; i < p->count && status == STATUS_OK; i++)
		status = move(&p->items[i]);
	return status;
}
