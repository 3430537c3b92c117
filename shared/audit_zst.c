#include "shared/audit_zst.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "shared/file.h"
#include "shared/log.h"
#include "shared/mem.h"

#define FRAME ((size_t)1024 * 1024)
#define IN ((size_t)128 * 1024)

/* The table: a frame that decoders skip, of one entry a frame (compressed and plain size) and a
 * footer. Numbers are little-endian. */
#define SKIP_MAGIC 0x184D2A5EU
#define TABLE_MAGIC 0x8F92EAB1U
#define HEADER_LEN 8
#define ENTRY_LEN 8
#define CHECKED_ENTRY_LEN 12 /* other writers may add a checksum */
#define FOOTER_LEN 9
#define FRAMES_MAX 0x8000000U

struct frame {
	uint32_t packed, plain;
};

static void put32(uint8_t *at, uint32_t n)
{
	for (int i = 0; i < 4; i++)
		at[i] = (uint8_t)(n >> 8 * i);
}

static uint32_t get32(const uint8_t *at)
{
	return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 |
		(uint32_t)at[3] << 24;
}

bool audit_zst_is(const uint8_t *bytes, size_t len)
{
	return len >= 4 && get32(bytes) == ZSTD_MAGICNUMBER;
}

/* --- writing --------------------------------------------------------------------------------- */

struct audit_zst_writer {
	int fd;
	ZSTD_CCtx *z;
	uint8_t *plain, *packed;
	size_t have, packed_cap;
	struct frame *frames;
	size_t count;
};

struct audit_zst_writer *audit_zst_writer_new(int fd, int level)
{
	struct audit_zst_writer *w = xcalloc(1, sizeof(*w));

	w->fd = fd;
	w->z = ZSTD_createCCtx();
	if (!w->z)
		die("no memory");
	(void)ZSTD_CCtx_setParameter(w->z, ZSTD_c_compressionLevel, level);
	(void)ZSTD_CCtx_setParameter(w->z, ZSTD_c_checksumFlag, 1);
	w->packed_cap = ZSTD_compressBound(FRAME);
	w->plain = xmalloc(FRAME);
	w->packed = xmalloc(w->packed_cap);
	return w;
}

void audit_zst_writer_free(struct audit_zst_writer *w)
{
	if (!w)
		return;
	ZSTD_freeCCtx(w->z);
	free(w->plain);
	free(w->packed);
	free(w->frames);
	free(w);
}

static enum rc write_all(int fd, const uint8_t *bytes, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, bytes, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return RC_UNAVAILABLE;
		bytes += n;
		len -= (size_t)n;
	}
	return RC_OK;
}

static enum rc flush(struct audit_zst_writer *w)
{
	size_t n = ZSTD_compress2(w->z, w->packed, w->packed_cap, w->plain, w->have);

	if (ZSTD_isError(n)) {
		errno = ENOMEM; /* there is no other reason here */
		return RC_UNAVAILABLE;
	}
	if (w->count % 1024 == 0)
		w->frames = xrealloc(w->frames, (w->count + 1024) * sizeof(*w->frames));
	w->frames[w->count++] = (struct frame){(uint32_t)n, (uint32_t)w->have};
	w->have = 0;
	return write_all(w->fd, w->packed, n);
}

enum rc audit_zst_write(struct audit_zst_writer *w, const void *bytes, size_t len)
{
	const uint8_t *at = bytes;
	enum rc rc = RC_OK;

	while (rc == RC_OK && len > 0) {
		size_t n = FRAME - w->have < len ? FRAME - w->have : len;

		memcpy(w->plain + w->have, at, n);
		w->have += n;
		at += n;
		len -= n;
		if (w->have == FRAME)
			rc = flush(w);
	}
	return rc;
}

enum rc audit_zst_end(struct audit_zst_writer *w)
{
	enum rc rc = w->have > 0 || w->count == 0 ? flush(w) : RC_OK;
	size_t content = w->count * ENTRY_LEN + FOOTER_LEN;
	uint8_t *table, *at;

	if (rc != RC_OK)
		return rc;
	table = at = xcalloc(1, HEADER_LEN + content);
	put32(at, SKIP_MAGIC);
	put32(at + 4, (uint32_t)content);
	at += HEADER_LEN;
	for (size_t i = 0; i < w->count; i++, at += ENTRY_LEN) {
		put32(at, w->frames[i].packed);
		put32(at + 4, w->frames[i].plain);
	}
	put32(at, (uint32_t)w->count); /* then a byte of flags: none */
	put32(at + 5, TABLE_MAGIC);
	rc = write_all(w->fd, table, HEADER_LEN + content);
	free(table);
	return rc;
}

/* --- reading --------------------------------------------------------------------------------- */

struct audit_zst_reader {
	int fd;
	ZSTD_DCtx *z;
	uint8_t *in;
	ZSTD_inBuffer left;
	bool between; /* no frame is open: the file may end here */
	bool looked; /* for a table */
	struct frame *frames;
	size_t count;
};

struct audit_zst_reader *audit_zst_reader_new(int fd)
{
	struct audit_zst_reader *r = xcalloc(1, sizeof(*r));

	r->fd = fd;
	r->z = ZSTD_createDCtx();
	if (!r->z)
		die("no memory");
	r->in = xmalloc(IN);
	r->left.src = r->in;
	r->between = true;
	return r;
}

void audit_zst_reader_free(struct audit_zst_reader *r)
{
	if (!r)
		return;
	ZSTD_freeDCtx(r->z);
	free(r->in);
	free(r->frames);
	free(r);
}

/* False in *more: the file has no more. */
static enum rc refill(struct audit_zst_reader *r, bool *more)
{
	ssize_t n;

	do
		n = read(r->fd, r->in, IN);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return RC_UNAVAILABLE;
	r->left.size = (size_t)n;
	r->left.pos = 0;
	*more = n > 0;
	return RC_OK;
}

enum rc audit_zst_read(struct audit_zst_reader *r, void *bytes, size_t *len)
{
	ZSTD_outBuffer out = {bytes, *len, 0};
	bool more = true;

	while (out.pos == 0) {
		size_t n;

		if (r->left.pos == r->left.size) {
			enum rc rc = refill(r, &more);

			if (rc != RC_OK)
				return rc;
		}
		if (!more)
			break;
		n = ZSTD_decompressStream(r->z, &out, &r->left);
		if (ZSTD_isError(n))
			return RC_INVALID;
		r->between = n == 0;
	}
	*len = out.pos;
	return more || r->between ? RC_OK : RC_INVALID;
}

/* Fills frames when the file ends with a table that describes all of it. */
static void look_for_table(struct audit_zst_reader *r)
{
	uint8_t footer[FOOTER_LEN], *entries;
	size_t count, entry;
	struct stat st;
	off_t table, sum = 0;

	r->looked = true;
	if (fstat(r->fd, &st) != 0 || st.st_size < HEADER_LEN + FOOTER_LEN ||
		!file_read_at(r->fd, footer, sizeof(footer), st.st_size - FOOTER_LEN) ||
		get32(footer + 5) != TABLE_MAGIC || (footer[4] & 0x7c) != 0)
		return;
	count = get32(footer);
	entry = footer[4] & 0x80 ? CHECKED_ENTRY_LEN : ENTRY_LEN;
	table = (off_t)(count * entry) + HEADER_LEN + FOOTER_LEN;
	if (count == 0 || count > FRAMES_MAX || table > st.st_size)
		return;
	entries = xmalloc(count * entry);
	r->frames = xcalloc(count, sizeof(*r->frames));
	if (!file_read_at(r->fd, entries, count * entry,
		    st.st_size - FOOTER_LEN - (off_t)(count * entry)))
		count = 0;
	for (size_t i = 0; i < count; i++) {
		r->frames[i] =
			(struct frame){get32(entries + i * entry), get32(entries + i * entry + 4)};
		sum += r->frames[i].packed;
	}
	r->count = sum == st.st_size - table ? count : 0;
	free(entries);
}

static enum rc skip(struct audit_zst_reader *r, int64_t bytes)
{
	uint8_t *away = xmalloc(IN);
	enum rc rc = RC_OK;

	while (rc == RC_OK && bytes > 0) {
		size_t n = bytes < (int64_t)IN ? (size_t)bytes : IN;

		rc = audit_zst_read(r, away, &n);
		if (rc == RC_OK && n == 0)
			rc = RC_INVALID;
		bytes -= (int64_t)n;
	}
	free(away);
	return rc;
}

enum rc audit_zst_seek(struct audit_zst_reader *r, int64_t offset)
{
	off_t at = 0;

	if (!r->looked)
		look_for_table(r);
	for (size_t i = 0; i < r->count && offset >= r->frames[i].plain; i++) {
		offset -= r->frames[i].plain;
		at += r->frames[i].packed;
	}
	if (lseek(r->fd, at, SEEK_SET) < 0)
		return RC_UNAVAILABLE;
	(void)ZSTD_DCtx_reset(r->z, ZSTD_reset_session_only);
	r->left.pos = r->left.size = 0;
	r->between = true;
	return skip(r, offset);
}
