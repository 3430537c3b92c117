#include "worker/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/file.h"
#include "shared/jscan.h"
#include "shared/mem.h"
#include "shared/text.h"

#define KEY_FILE "worker_ed25519.pem"
#define NEW_KEY_FILE "worker_ed25519.pem.new"
#define MASK_FILE "mask.key"
#define ENROLLED_FILE "enrollment.json"
#define LOCK_FILE "lock"
#define ENROLLED_MAX 16384

static enum rc fail(struct identity_error *err, enum rc rc, const char *fmt, ...) PRINTF_LIKE(3, 4);

static enum rc fail(struct identity_error *err, enum rc rc, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(err->text, sizeof err->text, fmt, ap);
	va_end(ap);
	return rc;
}

static enum rc path_of(
	char out[PATH_MAX], const char *dir, const char *name, struct identity_error *err)
{
	int n = snprintf(out, PATH_MAX, "%s/%s", dir, name);

	if (n < 0 || n >= PATH_MAX)
		return fail(err, RC_INVALID, "worker.state_dir is too long");
	return RC_OK;
}

static int make_dirs(const char *dir)
{
	char path[PATH_MAX];

	if (!str_copy(path, sizeof path, dir)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	for (char *p = strchr(path + 1, '/'); p != NULL; p = strchr(p + 1, '/')) {
		*p = '\0';
		if (mkdir(path, 0755) != 0 && errno != EEXIST)
			return -1;
		*p = '/';
	}
	return mkdir(path, 0700) != 0 && errno != EEXIST ? -1 : 0;
}

enum rc identity_open_dir(const char *state_dir, int *lock_fd, struct identity_error *err)
{
	char path[PATH_MAX];
	enum rc rc = path_of(path, state_dir, LOCK_FILE, err);

	if (rc != RC_OK)
		return rc;
	if (make_dirs(state_dir) != 0)
		return fail(err, RC_UNAVAILABLE,
			"can't make the state directory %s: %s. Make it writable for this user, or "
			"name "
			"another in worker.state_dir",
			state_dir, strerror(errno));
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return fail(err, RC_UNAVAILABLE, "can't write to the state directory: %s: %s", path,
			strerror(errno));
	if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		rc = errno == EWOULDBLOCK
			? fail(err, RC_CONFLICT,
				  "another airlock-worker uses %s: stop it first, or give each "
				  "worker its "
				  "own worker.state_dir",
				  state_dir)
			: fail(err, RC_UNAVAILABLE, "can't lock %s: %s", path, strerror(errno));
		close(fd);
		return rc;
	}
	*lock_fd = fd;
	return RC_OK;
}

enum rc identity_load_key(
	const char *state_dir, struct crypto_identity *out, struct identity_error *err)
{
	char path[PATH_MAX];
	enum rc rc = path_of(path, state_dir, KEY_FILE, err);

	if (rc != RC_OK)
		return rc;
	rc = crypto_identity_load(path, out);
	switch (rc) {
	case RC_OK:
		return RC_OK;
	case RC_NOTFOUND:
		return fail(err, rc, "%s does not exist: run `airlock-worker enroll` first", path);
	case RC_DENIED:
		return fail(err, rc, "%s can be read by others: run `chmod 600 %s`", path, path);
	default:
		return fail(err, rc,
			"%s can't be read as an Ed25519 key: restore it, or enroll again with "
			"--force",
			path);
	}
}

enum rc identity_stage_key(
	const char *state_dir, struct crypto_identity *out, struct identity_error *err)
{
	char path[PATH_MAX];
	struct crypto_identity id;
	enum rc rc = path_of(path, state_dir, NEW_KEY_FILE, err);

	if (rc != RC_OK)
		return rc;
	/* One that an earlier run left behind was never in use. */
	if (unlink(path) != 0 && errno != ENOENT)
		return fail(err, RC_UNAVAILABLE, "can't remove %s: %s", path, strerror(errno));
	crypto_identity_new(&id);
	rc = crypto_identity_save(&id, path);
	if (rc == RC_OK)
		*out = id;
	else
		rc = fail(err, rc, "can't write the worker's key to %s: %s", path, rc_name(rc));
	crypto_identity_wipe(&id);
	return rc;
}

enum rc identity_commit_key(const char *state_dir, struct identity_error *err)
{
	char staged[PATH_MAX], path[PATH_MAX];
	enum rc rc = path_of(staged, state_dir, NEW_KEY_FILE, err);

	if (rc == RC_OK)
		rc = path_of(path, state_dir, KEY_FILE, err);
	if (rc != RC_OK)
		return rc;
	if (rename(staged, path) != 0)
		return fail(err, RC_UNAVAILABLE, "can't move %s to %s: %s", staged, path,
			strerror(errno));
	if (file_sync_dir(path) != RC_OK)
		return fail(err, RC_UNAVAILABLE, "can't sync the directory of %s", path);
	return RC_OK;
}

/* others: the mode bits that must not be set. */
static enum rc read_secret(
	const char *path, mode_t others, char **data, size_t *len, struct identity_error *err)
{
	struct stat st;

	if (stat(path, &st) != 0)
		return errno == ENOENT
			? RC_NOTFOUND
			: fail(err, RC_UNAVAILABLE, "can't read %s: %s", path, strerror(errno));
	if ((st.st_mode & others) != 0)
		return fail(
			err, RC_DENIED, "%s can be read by others: run `chmod 600 %s`", path, path);
	if (file_read(path, 4096, data, len) != RC_OK)
		return fail(err, RC_UNAVAILABLE, "can't read %s", path);
	return RC_OK;
}

static enum rc load_secret(
	const char *path, uint8_t out[IDENTITY_MASK_LEN], struct identity_error *err)
{
	char *data = NULL;
	size_t len = 0;
	enum rc rc = read_secret(path, 077, &data, &len, err);

	if (rc != RC_OK)
		return rc;
	if (len == IDENTITY_MASK_LEN)
		memcpy(out, data, IDENTITY_MASK_LEN);
	else
		rc = fail(err, RC_INVALID,
			"%s must hold exactly %d bytes: restore it, or remove it (hashed values "
			"then change)",
			path, IDENTITY_MASK_LEN);
	mem_wipe(data, len);
	free(data);
	return rc;
}

enum rc identity_shared_secret(const char *path, const char *tenant_id,
	uint8_t out[IDENTITY_MASK_LEN], struct identity_error *err)
{
	char label[128], *data = NULL;
	uint8_t secret[IDENTITY_MASK_LEN];
	size_t len = 0;
	/* A mounted secret often belongs to a group. */
	enum rc rc = read_secret(path, 007, &data, &len, err);

	if (rc == RC_NOTFOUND)
		return fail(err, RC_NOTFOUND,
			"worker.mask_key_file %s does not exist: make it once with `openssl rand "
			"-hex 32`, and give it to every worker of the tenant",
			path);
	if (rc != RC_OK)
		return rc;
	if (len == IDENTITY_MASK_LEN)
		memcpy(secret, data, IDENTITY_MASK_LEN);
	else {
		while (len > 0 && (data[len - 1] == '\n' || data[len - 1] == '\r'))
			data[--len] = '\0';
		if (len != sizeof secret * 2 ||
			text_unhex(data, secret, IDENTITY_MASK_LEN) != RC_OK)
			rc = fail(err, RC_INVALID,
				"worker.mask_key_file %s must hold %d bytes, or %d hex digits",
				path, IDENTITY_MASK_LEN, 2 * IDENTITY_MASK_LEN);
	}
	if (rc == RC_OK) {
		/* Two tenants that were given the same file must not share hashes. */
		snprintf(label, sizeof label, "airlock tenant %s", tenant_id);
		crypto_blake2b(secret, sizeof secret, label, strlen(label), out);
	}
	mem_wipe(secret, sizeof secret);
	mem_wipe(data, len);
	free(data);
	return rc;
}

void identity_secret_print(
	const uint8_t secret[IDENTITY_MASK_LEN], char out[IDENTITY_PRINT_LEN + 1])
{
	static const char label[] = "airlock mask fingerprint";
	uint8_t digest[CRYPTO_HASH_LEN];

	crypto_blake2b(secret, IDENTITY_MASK_LEN, label, sizeof label - 1, digest);
	text_hex(digest, IDENTITY_PRINT_LEN / 2, out);
}

enum rc identity_mask_secret(
	const char *state_dir, uint8_t out[IDENTITY_MASK_LEN], struct identity_error *err)
{
	char path[PATH_MAX];
	uint8_t secret[IDENTITY_MASK_LEN];
	enum rc rc = path_of(path, state_dir, MASK_FILE, err);

	if (rc == RC_OK)
		rc = load_secret(path, out, err);
	if (rc != RC_NOTFOUND)
		return rc;
	crypto_random(secret, sizeof secret);
	rc = file_write_atomic(path, secret, sizeof secret, 0600);
	if (rc == RC_OK)
		memcpy(out, secret, sizeof secret);
	else
		rc = fail(err, RC_UNAVAILABLE, "can't write the masking secret to %s", path);
	mem_wipe(secret, sizeof secret);
	return rc;
}

static void member(struct buf *out, const char *name, const char *value)
{
	buf_char(out, out->len > 2 ? ',' : ' ');
	buf_str(out, "\n  ");
	buf_json(out, name);
	buf_str(out, ": ");
	buf_json(out, value);
}

void identity_enrolled_json(const struct enrolled *e, struct buf *out)
{
	char cp_key[TEXT_B64_LEN(CRYPTO_PUBLIC_LEN) + 1],
		own_key[TEXT_B64_LEN(CRYPTO_PUBLIC_LEN) + 1];

	text_b64(e->cp_key, sizeof e->cp_key, cp_key);
	text_b64(e->public_key, sizeof e->public_key, own_key);
	buf_char(out, '{');
	member(out, "worker_id", e->worker_id);
	member(out, "tenant_id", e->tenant_id);
	member(out, "tenant_slug", e->tenant_slug);
	member(out, "cp_public_key", cp_key);
	member(out, "public_key", own_key);
	member(out, "tunnel_url", e->tunnel_url);
	member(out, "url", e->url);
	buf_str(out, "\n}\n");
}

static bool read_str(struct jscan object, const char *name, char *dst, size_t cap)
{
	struct jscan v;

	return jscan_get(object, name, &v) == RC_OK && jscan_str(v, dst, cap) == RC_OK &&
		dst[0] != '\0';
}

static bool read_key(struct jscan object, const char *name, uint8_t key[CRYPTO_PUBLIC_LEN])
{
	char text[TEXT_B64_LEN(CRYPTO_PUBLIC_LEN) + 1];
	size_t len;

	return read_str(object, name, text, sizeof text) &&
		text_unb64(text, strlen(text), key, CRYPTO_PUBLIC_LEN, &len) == RC_OK &&
		len == CRYPTO_PUBLIC_LEN;
}

enum rc identity_enrolled_parse(const char *text, size_t len, struct enrolled *out)
{
	struct enrolled e = {0};
	struct jscan root;

	if (len > ENROLLED_MAX || jscan_parse(text, len, &root) != RC_OK ||
		root.kind != JSCAN_OBJECT)
		return RC_INVALID;
	if (!read_str(root, "worker_id", e.worker_id, sizeof e.worker_id) ||
		!read_str(root, "tenant_id", e.tenant_id, sizeof e.tenant_id) ||
		!read_str(root, "tenant_slug", e.tenant_slug, sizeof e.tenant_slug) ||
		!read_key(root, "cp_public_key", e.cp_key) ||
		!read_key(root, "public_key", e.public_key) ||
		!read_str(root, "tunnel_url", e.tunnel_url, sizeof e.tunnel_url) ||
		!read_str(root, "url", e.url, sizeof e.url))
		return RC_INVALID;
	*out = e;
	return RC_OK;
}

enum rc identity_load_enrolled(
	const char *state_dir, struct enrolled *out, struct identity_error *err)
{
	char path[PATH_MAX];
	char *data;
	size_t len;
	enum rc rc = path_of(path, state_dir, ENROLLED_FILE, err);

	if (rc != RC_OK)
		return rc;
	if (access(path, F_OK) != 0)
		return fail(err, RC_NOTFOUND,
			"this worker is not enrolled (%s: %s): run `airlock-worker enroll`", path,
			strerror(errno));
	if (file_read(path, ENROLLED_MAX, &data, &len) != RC_OK)
		return fail(err, RC_UNAVAILABLE, "can't read %s", path);
	rc = identity_enrolled_parse(data, len, out);
	free(data);
	if (rc != RC_OK)
		return fail(err, RC_INVALID, "%s is damaged: enroll again with --force", path);
	return RC_OK;
}

enum rc identity_save_enrolled(
	const char *state_dir, const struct enrolled *e, struct identity_error *err)
{
	char path[PATH_MAX];
	struct buf text;
	enum rc rc = path_of(path, state_dir, ENROLLED_FILE, err);

	if (rc != RC_OK)
		return rc;
	buf_init(&text, ENROLLED_MAX);
	identity_enrolled_json(e, &text);
	rc = text.failed ? RC_INVALID : file_write_atomic(path, text.data, text.len, 0600);
	buf_free(&text);
	return rc == RC_OK ? RC_OK : fail(err, RC_UNAVAILABLE, "can't write %s", path);
}
