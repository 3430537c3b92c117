#include "shared/shelf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/mem.h"

#define NAME "airlock-results"
#define NOEXEC_SEAL 0x0008U /* MFD_NOEXEC_SEAL, which Debian 12's headers don't have */
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

struct shelf {
	uint8_t *base;
	size_t place_len;
	uint32_t places;
	int holders;
};

static bool size_ok(uint32_t places, size_t place_len)
{
	return places > 0 && places <= SHELF_PLACES_MAX && place_len > 0 &&
		place_len % (size_t)sysconf(_SC_PAGESIZE) == 0 && place_len <= PTRDIFF_MAX / places;
}

static enum rc map(int fd, int protection, uint32_t places, size_t place_len, struct shelf **out)
{
	void *base = mmap(NULL, places * place_len, protection, MAP_SHARED, fd, 0);
	struct shelf *s;

	if (base == MAP_FAILED)
		return RC_UNAVAILABLE;
	/* Results are nobody's to find in a core dump. */
	(void)madvise(base, places * place_len, MADV_DONTDUMP);
	s = xcalloc(1, sizeof(*s));
	*s = (struct shelf){base, place_len, places, 1};
	*out = s;
	return RC_OK;
}

enum rc shelf_make(uint32_t places, size_t place_len, struct shelf **out, int *fd)
{
	int made;

	if (!size_ok(places, place_len))
		return RC_INVALID;
	/* Since Linux 6.3 it is to be said that nobody executes it; before, that is unknown. */
	made = memfd_create(NAME, MFD_CLOEXEC | MFD_ALLOW_SEALING | NOEXEC_SEAL);
	if (made < 0 && errno == EINVAL)
		made = memfd_create(NAME, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (made < 0)
		return RC_UNAVAILABLE;
	if (ftruncate(made, (off_t)(places * place_len)) != 0 ||
		fcntl(made, F_ADD_SEALS, SEALS) != 0 ||
		map(made, PROT_READ, places, place_len, out) != RC_OK) {
		(void)close(made);
		return RC_UNAVAILABLE;
	}
	*fd = made;
	return RC_OK;
}

enum rc shelf_open(int fd, uint32_t places, size_t place_len, struct shelf **out)
{
	struct stat st;
	int seals = fcntl(fd, F_GET_SEALS);

	if (!size_ok(places, place_len) || seals < 0 || !(seals & F_SEAL_SHRINK) ||
		(seals & F_SEAL_WRITE) || fstat(fd, &st) != 0 ||
		st.st_size != (off_t)(places * place_len))
		return RC_INVALID;
	return map(fd, PROT_READ | PROT_WRITE, places, place_len, out);
}

struct shelf *shelf_hold(struct shelf *s)
{
	s->holders++;
	return s;
}

void shelf_drop(struct shelf *s)
{
	if (!s || --s->holders > 0)
		return;
	(void)munmap(s->base, s->places * s->place_len);
	free(s);
}

uint32_t shelf_places(const struct shelf *s)
{
	return s->places;
}

size_t shelf_place_len(const struct shelf *s)
{
	return s->place_len;
}

uint8_t *shelf_at(struct shelf *s, uint32_t place)
{
	return s->base + place * s->place_len;
}

bool shelf_fill(struct shelf *s, uint32_t place, size_t from, size_t len)
{
	/* Without it a write for which there is no memory would end the process. */
	return madvise(shelf_at(s, place) + from, len, MADV_POPULATE_WRITE) == 0;
}

void shelf_empty(struct shelf *s, uint32_t place, size_t len)
{
	(void)madvise(shelf_at(s, place), len, MADV_REMOVE);
}
