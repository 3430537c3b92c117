/* A compressed file of the audit log: read to its end, then from several places by its table, which
 * may say anything, and then to its end again, which gives the same. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "shared/audit_zst.h"

#define PLAIN_MAX ((size_t)4 << 20) /* of a bomb, no more is of interest */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t plain[PLAIN_MAX], again[PLAIN_MAX];

static size_t read_all(struct audit_zst_reader *r, uint8_t *out)
{
	size_t have = 0, n;

	do {
		n = PLAIN_MAX - have;
		if (audit_zst_read(r, out + have, &n) != RC_OK)
			return have;
		have += n;
	} while (n > 0 && have < PLAIN_MAX);
	return have;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t piece[64];
	static const int64_t places[] = {0, 1, 100, 65536, 1 << 20, INT64_C(1) << 40};
	int fd = memfd_create("zst", MFD_CLOEXEC);
	struct audit_zst_reader *r;
	size_t have, n;

	if (fd < 0 || write(fd, data, size) != (ssize_t)size || lseek(fd, 0, SEEK_SET) != 0)
		abort();
	r = audit_zst_reader_new(fd);
	have = read_all(r, plain);
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		n = sizeof(piece);
		if (audit_zst_seek(r, places[i]) == RC_OK &&
			audit_zst_read(r, piece, &n) == RC_OK && n > sizeof(piece))
			abort();
	}
	if (audit_zst_seek(r, 0) != RC_OK || read_all(r, again) != have ||
		memcmp(plain, again, have) != 0)
		abort();
	audit_zst_reader_free(r);
	(void)close(fd);
	return 0;
}
