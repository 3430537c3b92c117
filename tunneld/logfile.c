#include "tunneld/logfile.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "shared/file.h"
#include "shared/log.h"

#define BLOCK 4096
/* What is appended without a sync is kept in memory: beyond this it is synced after all. */
#define UNSYNCED_MAX ((size_t)8 * 1024 * 1024)
#define CHUNK 65536

static bool write_at(int fd, const uint8_t *bytes, size_t len, off_t at)
{
	while (len > 0) {
		ssize_t n = pwrite(fd, bytes, len, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		bytes += n;
		len -= (size_t)n;
		at += n;
	}
	return true;
}

/* All is certain now: of it only the begun block is needed again. */
static void certain(struct logfile *f)
{
	off_t block = f->size - f->size % BLOCK;

	f->synced = f->size;
	buf_consume(&f->kept, (size_t)(block - f->kept_at));
	f->kept_at = block;
}

bool logfile_init(struct logfile *f, int fd, off_t size)
{
	size_t rest = (size_t)(size % BLOCK);

	*f = (struct logfile){
		.fd = fd, .size = size, .synced = size, .kept_at = size - (off_t)rest};
	buf_init(&f->kept, BLOCK + UNSYNCED_MAX);
	if (!buf_reserve(&f->kept, BLOCK) || !file_read_at(fd, f->kept.data, rest, f->kept_at)) {
		buf_free(&f->kept);
		return false;
	}
	buf_commit(&f->kept, rest);
	return true;
}

void logfile_close(struct logfile *f)
{
	if (f->fd >= 0)
		(void)close(f->fd);
	buf_free(&f->kept);
	f->fd = -1;
}

/* --- after a failure ------------------------------------------------------------------- */

/* What the disk has, not what the kernel remembers. */
static bool same_on_disk(const struct logfile *f)
{
	static uint8_t chunk[CHUNK]; /* of the one thread */
	size_t at = 0;

	(void)posix_fadvise(f->fd, f->kept_at, 0, POSIX_FADV_DONTNEED);
	while (at < f->kept.len) {
		size_t n = f->kept.len - at < CHUNK ? f->kept.len - at : CHUNK;

		if (!file_read_at(f->fd, chunk, n, f->kept_at + (off_t)at))
			return false;
		if (memcmp(chunk, f->kept.data + at, n) != 0) {
			errno = EIO;
			return false;
		}
		at += n;
	}
	return true;
}

/* Writing the certain bytes of the block again can't harm them: they are the same. */
static bool settle(struct logfile *f)
{
	if (!f->doubt)
		return true;
	if (!write_at(f->fd, f->kept.data, f->kept.len, f->kept_at) ||
		ftruncate(f->fd, f->size) != 0 || fdatasync(f->fd) != 0 || !same_on_disk(f))
		return false;
	f->doubt = false;
	certain(f);
	return true;
}

/* Readers need not see what did not count; settle() tries again where this fails. errno stays. */
static bool failed(struct logfile *f)
{
	int why = errno;

	f->doubt = true;
	if (ftruncate(f->fd, f->size) != 0)
		log_err("what a failed append left can't be cut off now: %s", strerror(errno));
	errno = why;
	return false;
}

/* --- use ---------------------------------------------------------------------------------- */

/* Bytes that reach into another block and are on the disk: what came before them is needed no more.
 */
static void keep_end(struct logfile *f, const uint8_t *bytes, size_t len)
{
	size_t rest = (size_t)((f->size + (off_t)len) % BLOCK);

	f->size += (off_t)len;
	f->synced = f->size;
	f->kept_at = f->size - (off_t)rest;
	buf_reset(&f->kept);
	buf_add(&f->kept, bytes + len - rest, rest);
}

bool logfile_append(struct logfile *f, const void *bytes, size_t len, bool sync)
{
	bool further;

	if (!settle(f))
		return false;
	sync = sync || f->kept.len + len > UNSYNCED_MAX;
	further = sync && (size_t)(f->size % BLOCK) + len >= BLOCK;
	if (!further && !buf_reserve(&f->kept, len)) {
		f->kept.failed = false;
		errno = ENOMEM;
		return false;
	}
	if (!write_at(f->fd, bytes, len, f->size) || (sync && fdatasync(f->fd) != 0))
		return failed(f);
	if (further) {
		keep_end(f, bytes, len);
		return true;
	}
	buf_add(&f->kept, bytes, len);
	f->size += (off_t)len;
	if (sync)
		certain(f);
	return true;
}

bool logfile_sync(struct logfile *f)
{
	if (!settle(f))
		return false;
	if (f->synced == f->size)
		return true;
	if (fdatasync(f->fd) != 0)
		return failed(f);
	certain(f);
	return true;
}

bool logfile_cut(struct logfile *f, off_t size)
{
	struct logfile shorter;

	if (ftruncate(f->fd, size) != 0 || fdatasync(f->fd) != 0 ||
		!logfile_init(&shorter, f->fd, size))
		return false;
	buf_free(&f->kept);
	*f = shorter;
	return true;
}

bool logfile_probe(struct logfile *f, size_t len)
{
	uint8_t spaces[CHUNK];

	if (len > sizeof(spaces))
		len = sizeof(spaces);
	if (!settle(f))
		return false;
	memset(spaces, ' ', len);
	if (!write_at(f->fd, spaces, len, f->size) || fdatasync(f->fd) != 0 ||
		ftruncate(f->fd, f->size) != 0)
		return failed(f);
	return true;
}
