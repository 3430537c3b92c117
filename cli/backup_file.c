#include "cli/backup_file.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "shared/crypto.h"
#include "shared/file.h"
#include "shared/mem.h"
#include "shared/text.h"

#define CHUNK ((size_t)256 * 1024)
#define MANIFEST "manifest.json"
#define MANIFEST_MAX ((int64_t)64 * 1024 * 1024)
#define HEX_LEN ((size_t)2 * CRYPTO_HASH_LEN)

bool backup_name_ok(const char *name)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				    "._-/";
	size_t len = strlen(name);

	if (len == 0 || len > BACKUP_NAME_MAX || name[0] == '/' ||
		name[strspn(name, plain)] != '\0' || name[len - 1] == '/')
		return false;
	for (const char *part = name; part; part = strchr(part, '/')) {
		part += *part == '/';
		if (*part == '.' || *part == '/')
			return false;
	}
	return true;
}

static bool ends_with(const char *s, const char *end)
{
	size_t len = strlen(s);

	return len >= strlen(end) && strcmp(s + len - strlen(end), end) == 0;
}

/* --- writing ---------------------------------------------------------------------------- */

struct backup_out {
	char path[PATH_MAX], temporary[PATH_MAX];
	int fd;
	struct archive *tar;
	json_t *files;
	bool failed;
	int why; /* errno of the first failure */
};

static void fail(struct backup_out *o, int why)
{
	if (!o->failed)
		o->why = why;
	o->failed = true;
}

static struct archive *tar_on(int fd, bool compressed)
{
	struct archive *tar = archive_write_new();

	if (!tar)
		return NULL;
	if (archive_write_set_format_pax_restricted(tar) == ARCHIVE_OK &&
		(!compressed || archive_write_add_filter_zstd(tar) == ARCHIVE_OK) &&
		archive_write_open_fd(tar, fd) == ARCHIVE_OK)
		return tar;
	(void)archive_write_free(tar);
	return NULL;
}

enum rc backup_out_open(const char *path, struct backup_out **out)
{
	struct backup_out *o = xcalloc(1, sizeof(*o));

	o->fd = -1;
	o->files = json_array();
	if (!str_copy(o->path, sizeof(o->path), path) ||
		snprintf(o->temporary, sizeof(o->temporary), "%s.XXXXXX", path) >=
			(int)sizeof(o->temporary)) {
		errno = ENAMETOOLONG;
		o->temporary[0] = '\0';
		goto fail;
	}
	if (access(path, F_OK) == 0) {
		o->temporary[0] = '\0';
		backup_out_free(o);
		return RC_CONFLICT;
	}
	o->fd = mkostemp(o->temporary, O_CLOEXEC);
	if (o->fd < 0) {
		o->temporary[0] = '\0';
		goto fail;
	}
	o->tar = tar_on(o->fd, ends_with(path, ".zst"));
	if (o->tar && o->files) {
		*out = o;
		return RC_OK;
	}
	errno = ENOMEM;
fail:
	backup_out_free(o);
	return RC_UNAVAILABLE;
}

static bool begin_member(struct backup_out *o, const char *name, int64_t size)
{
	struct archive_entry *e = archive_entry_new();
	bool ok = false;

	if (o->failed || !backup_name_ok(name) || !e) {
		fail(o, e ? EINVAL : ENOMEM);
	} else {
		archive_entry_set_pathname(e, name);
		archive_entry_set_size(e, size);
		archive_entry_set_filetype(e, AE_IFREG);
		archive_entry_set_perm(e, 0600);
		archive_entry_set_mtime(e, time(NULL), 0);
		ok = archive_write_header(o->tar, e) == ARCHIVE_OK;
		if (!ok)
			fail(o, archive_errno(o->tar));
	}
	archive_entry_free(e);
	return ok;
}

static void member_bytes(struct backup_out *o, const void *bytes, size_t len)
{
	if (len > 0 && archive_write_data(o->tar, bytes, len) != (la_ssize_t)len)
		fail(o, archive_errno(o->tar));
}

static void list_member(
	struct backup_out *o, const char *name, int64_t size, const uint8_t hash[CRYPTO_HASH_LEN])
{
	char hex[HEX_LEN + 1];

	text_hex(hash, CRYPTO_HASH_LEN, hex);
	if (json_array_append_new(o->files,
		    json_pack("{s:s, s:I, s:s}", "name", name, "size", (json_int_t)size, "sha256",
			    hex)) != 0)
		fail(o, ENOMEM);
}

void backup_out_bytes(struct backup_out *o, const char *name, const void *bytes, size_t len)
{
	uint8_t hash[CRYPTO_HASH_LEN];

	if (!begin_member(o, name, (int64_t)len))
		return;
	member_bytes(o, bytes, len);
	crypto_sha256(bytes, len, hash);
	list_member(o, name, (int64_t)len, hash);
}

void backup_out_file(struct backup_out *o, const char *name, int fd, int64_t size)
{
	struct crypto_hasher *hasher = crypto_hasher_new();
	uint8_t hash[CRYPTO_HASH_LEN];
	char *chunk = xmalloc(CHUNK);
	int64_t at = 0;

	if (begin_member(o, name, size)) {
		while (at < size && !o->failed) {
			size_t want = size - at < (int64_t)CHUNK ? (size_t)(size - at) : CHUNK;
			ssize_t n = pread(fd, chunk, want, (off_t)at);

			if (n < 0 && errno == EINTR)
				continue;
			if (n <= 0) {
				fail(o, n < 0 ? errno : EIO); /* it shrank */
				break;
			}
			crypto_hasher_add(hasher, chunk, (size_t)n);
			member_bytes(o, chunk, (size_t)n);
			at += n;
		}
		crypto_hasher_end(hasher, hash);
		list_member(o, name, size, hash);
	}
	crypto_hasher_free(hasher);
	free(chunk);
}

enum rc backup_out_end(struct backup_out *o, json_t *facts, const char **temporary)
{
	char *text = NULL;

	if (json_object_set(facts, "files", o->files) == 0)
		text = json_dumps(facts, JSON_INDENT(2));
	if (!text)
		fail(o, ENOMEM);
	else if (begin_member(o, MANIFEST, (int64_t)strlen(text)))
		member_bytes(o, text, strlen(text));
	free(text);
	if (archive_write_close(o->tar) != ARCHIVE_OK)
		fail(o, archive_errno(o->tar));
	if (!o->failed && fsync(o->fd) != 0)
		fail(o, errno);
	*temporary = o->temporary;
	errno = o->why;
	return o->failed ? RC_UNAVAILABLE : RC_OK;
}

enum rc backup_out_publish(struct backup_out *o)
{
	/* A link never takes the place of what is there. */
	if (link(o->temporary, o->path) != 0)
		return errno == EEXIST ? RC_CONFLICT : RC_UNAVAILABLE;
	(void)unlink(o->temporary);
	o->temporary[0] = '\0';
	return file_sync_dir(o->path);
}

void backup_out_free(struct backup_out *o)
{
	if (!o)
		return;
	if (o->tar)
		(void)archive_write_free(o->tar);
	if (o->fd >= 0)
		(void)close(o->fd);
	if (*o->temporary)
		(void)unlink(o->temporary);
	json_decref(o->files);
	free(o);
}

/* --- reading ------------------------------------------------------------------------------ */

struct backup_in {
	struct archive *tar;
	const char *dir;
	json_t *seen; /* name: {"size", "sha256"} */
	json_t *manifest;
	char *why;
	size_t why_cap;
};

static enum rc wrong(struct backup_in *in, const char *what, const char *name)
{
	(void)snprintf(in->why, in->why_cap, "%s: %s", name, what);
	return RC_INVALID;
}

static int make_member(const struct backup_in *in, const char *name)
{
	char path[PATH_MAX], parent[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s/%s", in->dir, name) >= (int)sizeof(path) ||
		!file_dir(path, parent)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	if (file_make_dirs(parent, 0700) != RC_OK)
		return -1;
	return open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
}

static bool write_all(int fd, const char *bytes, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, bytes, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		bytes += n;
		len -= (size_t)n;
	}
	return true;
}

/* Reads the member's bytes: to the hasher and, unless fd is -1, to the file. */
static enum rc copy_member(
	struct backup_in *in, const char *name, int fd, struct crypto_hasher *h, int64_t *size)
{
	char *chunk = xmalloc(CHUNK);
	la_ssize_t n;
	enum rc rc = RC_OK;

	*size = 0;
	while (rc == RC_OK && (n = archive_read_data(in->tar, chunk, CHUNK)) > 0) {
		crypto_hasher_add(h, chunk, (size_t)n);
		*size += n;
		if (fd >= 0 && !write_all(fd, chunk, (size_t)n)) {
			(void)wrong(in, strerror(errno), name);
			rc = RC_UNAVAILABLE;
		}
	}
	if (rc == RC_OK && n < 0)
		rc = wrong(in, "the backup is damaged or cut off here", name);
	free(chunk);
	return rc;
}

static enum rc read_member(struct backup_in *in, const char *name)
{
	struct crypto_hasher *h = crypto_hasher_new();
	uint8_t hash[CRYPTO_HASH_LEN];
	char hex[HEX_LEN + 1];
	int64_t size = 0;
	int fd = -1;
	enum rc rc = RC_OK;

	if (in->dir && (fd = make_member(in, name)) < 0) {
		(void)wrong(in, strerror(errno), name);
		rc = RC_UNAVAILABLE;
	}
	if (rc == RC_OK)
		rc = copy_member(in, name, fd, h, &size);
	if (rc == RC_OK && fd >= 0 && fsync(fd) != 0) {
		(void)wrong(in, strerror(errno), name);
		rc = RC_UNAVAILABLE;
	}
	if (rc == RC_OK) {
		crypto_hasher_end(h, hash);
		text_hex(hash, sizeof(hash), hex);
		if (json_object_set_new(in->seen, name,
			    json_pack("{s:I, s:s}", "size", (json_int_t)size, "sha256", hex)) != 0)
			rc = wrong(in, "no memory", name);
	}
	if (fd >= 0)
		(void)close(fd);
	crypto_hasher_free(h);
	return rc;
}

static enum rc read_manifest(struct backup_in *in, int64_t size)
{
	char *text;
	enum rc rc = RC_OK;

	if (size < 0 || size > MANIFEST_MAX)
		return wrong(in, "it is too long", MANIFEST);
	text = xmalloc((size_t)size + 1);
	if (archive_read_data(in->tar, text, (size_t)size) != (la_ssize_t)size)
		rc = wrong(in, "the backup is damaged or cut off here", MANIFEST);
	else
		in->manifest = json_loadb(text, (size_t)size, JSON_REJECT_DUPLICATES, NULL);
	if (rc == RC_OK && !json_is_object(in->manifest))
		rc = wrong(in, "this is no manifest of a backup", MANIFEST);
	free(text);
	return rc;
}

static enum rc read_members(struct backup_in *in)
{
	struct archive_entry *e;
	const char *name = "the file";
	int code;
	enum rc rc = RC_OK;

	while (rc == RC_OK && (code = archive_read_next_header(in->tar, &e)) == ARCHIVE_OK) {
		name = archive_entry_pathname(e);
		if (in->manifest)
			return wrong(in, "something stands behind the manifest", name ? name : "?");
		if (!name || !backup_name_ok(name) || archive_entry_filetype(e) != AE_IFREG)
			return wrong(in, "no backup of ours has such a member", name ? name : "?");
		if (json_object_get(in->seen, name))
			return wrong(in, "it is there twice", name);
		rc = strcmp(name, MANIFEST) == 0 ? read_manifest(in, archive_entry_size(e))
						 : read_member(in, name);
	}
	if (rc == RC_OK && code != ARCHIVE_EOF)
		return wrong(in, "this is no backup, or it is damaged", "the file");
	if (rc == RC_OK && !in->manifest)
		return wrong(in, "it is missing: the backup was cut off", MANIFEST);
	return rc;
}

/* Both ways: nothing is missing, nothing is there that the manifest does not name. */
static enum rc compare(struct backup_in *in)
{
	const json_t *files = json_object_get(in->manifest, "files"), *file;
	size_t i;

	if (!json_is_array(files))
		return wrong(in, "this is no manifest of a backup", MANIFEST);
	json_array_foreach(files, i, file)
	{
		const char *name = json_string_value(json_object_get(file, "name"));
		const char *want = json_string_value(json_object_get(file, "sha256"));
		const json_t *seen = name ? json_object_get(in->seen, name) : NULL;
		const char *have = json_string_value(json_object_get(seen, "sha256"));

		if (!name || !want)
			return wrong(in, "this is no manifest of a backup", MANIFEST);
		if (!have)
			return wrong(in, "the manifest names it, and it is missing", name);
		if (strcmp(have, want) != 0)
			return wrong(in, "it is not what was backed up", name);
		(void)json_object_del(in->seen, name);
	}
	if (json_object_size(in->seen) > 0)
		return wrong(in, "the manifest does not name it",
			json_object_iter_key(json_object_iter(in->seen)));
	return RC_OK;
}

enum rc backup_read(const char *path, const char *dir, json_t **manifest, char *why, size_t why_cap)
{
	struct backup_in in = {.tar = archive_read_new(),
		.dir = dir,
		.seen = json_object(),
		.why = why,
		.why_cap = why_cap};
	enum rc rc = RC_OK;

	if (!in.tar || !in.seen || archive_read_support_format_tar(in.tar) != ARCHIVE_OK ||
		archive_read_support_filter_zstd(in.tar) < ARCHIVE_WARN)
		rc = wrong(&in, "no memory", path);
	if (rc == RC_OK && archive_read_open_filename(in.tar, path, CHUNK) != ARCHIVE_OK) {
		(void)wrong(&in, "it can't be read, or it is no backup", path);
		rc = RC_UNAVAILABLE;
	}
	if (rc == RC_OK)
		rc = read_members(&in);
	if (rc == RC_OK)
		rc = compare(&in);
	if (rc == RC_OK)
		*manifest = in.manifest;
	else
		json_decref(in.manifest);
	json_decref(in.seen);
	(void)archive_read_free(in.tar);
	return rc;
}
