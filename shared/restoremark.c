#include "shared/restoremark.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/file.h"
#include "shared/mem.h"

/* What is in it: the digest, two spaces, the backup's path, a line's end. */
#define GAP "  "
#define HEAD_LEN ((size_t)RESTOREMARK_DIGEST_LEN + sizeof(GAP) - 1)
#define TEXT_MAX (HEAD_LEN + PATH_MAX + 1)

static enum rc mark_path(const char *beside, char out[PATH_MAX])
{
	char dir[PATH_MAX];

	if (file_dir(beside, dir) &&
		snprintf(out, PATH_MAX, "%s/" RESTOREMARK_NAME, dir) < PATH_MAX)
		return RC_OK;
	errno = ENAMETOOLONG;
	return RC_UNAVAILABLE;
}

/* A mark that says something else is a mark all the same. */
static void parse(const char *text, size_t len, struct restoremark *out)
{
	size_t end = len;

	while (end > 0 && text[end - 1] == '\n')
		end--;
	if (end <= HEAD_LEN || memchr(text, '\0', len) ||
		strspn(text, "0123456789abcdef") != RESTOREMARK_DIGEST_LEN ||
		memcmp(text + RESTOREMARK_DIGEST_LEN, GAP, sizeof(GAP) - 1) != 0 ||
		!str_copy_len(out->backup, sizeof(out->backup), text + HEAD_LEN, end - HEAD_LEN))
		return;
	(void)str_copy_len(out->digest, sizeof(out->digest), text, RESTOREMARK_DIGEST_LEN);
}

bool restoremark_find(const char *beside, struct restoremark *out)
{
	char *text;
	size_t len;

	out->digest[0] = out->backup[0] = '\0';
	/* A path too long for a mark is too long for the lock that stands before it, too. */
	if (mark_path(beside, out->path) != RC_OK || access(out->path, F_OK) != 0)
		return false;
	if (file_read(out->path, TEXT_MAX, &text, &len) == RC_OK) {
		parse(text, len, out);
		free(text);
	}
	return true;
}

enum rc restoremark_lay(const char *beside, const char *digest, const char *backup)
{
	char path[PATH_MAX], text[TEXT_MAX + 1];
	int len = snprintf(text, sizeof(text), "%s" GAP "%s\n", digest, backup);
	enum rc rc = mark_path(beside, path);

	if (rc != RC_OK)
		return rc;
	if (len < 0 || (size_t)len >= sizeof(text)) {
		errno = ENAMETOOLONG;
		return RC_UNAVAILABLE;
	}
	file_sweep(path);
	return file_write_atomic(path, text, (size_t)len, 0600);
}

enum rc restoremark_remove(const char *beside)
{
	char path[PATH_MAX];
	enum rc rc = mark_path(beside, path);

	if (rc != RC_OK)
		return rc;
	if (unlink(path) != 0)
		return errno == ENOENT ? RC_OK : RC_UNAVAILABLE;
	return file_sync_dir(path);
}
