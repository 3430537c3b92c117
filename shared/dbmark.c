#include "shared/dbmark.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "shared/mem.h"

/* The only layout there has been; another one is not looked at. */
#define WAL_INDEX_VERSION 3007000
#define MAPPED 4096

struct dbmark_watch {
	const _Atomic uint32_t *words;
	int fd; /* never closed: that would drop the POSIX locks SQLite holds on the file in this
		   process */
};

enum rc dbmark_open(const char *db_path, struct dbmark_watch **out)
{
	char path[4096];
	struct dbmark_watch *w;
	void *map;

	if ((size_t)snprintf(path, sizeof(path), "%s-shm", db_path) >= sizeof(path))
		return RC_UNAVAILABLE;
	w = xcalloc(1, sizeof(*w));
	w->fd = open(path, O_RDONLY | O_CLOEXEC);
	map = w->fd < 0 ? MAP_FAILED : mmap(NULL, MAPPED, PROT_READ, MAP_SHARED, w->fd, 0);
	if (map == MAP_FAILED) {
		free(w);
		return RC_UNAVAILABLE;
	}
	w->words = map;
	*out = w;
	return RC_OK;
}

bool dbmark_read(const struct dbmark_watch *w, struct dbmark *out)
{
	if (!w)
		return false;
	for (int i = 0; i < DBMARK_WORDS; i++) {
		uint32_t first = atomic_load_explicit(&w->words[i], memory_order_acquire);

		/* SQLite writes the second copy first and then this one: only when both agree is
		 * the header whole. */
		if (first !=
			atomic_load_explicit(&w->words[DBMARK_WORDS + i], memory_order_acquire))
			return false;
		out->words[i] = first;
	}
	return out->words[0] == WAL_INDEX_VERSION;
}

bool dbmark_equal(const struct dbmark *a, const struct dbmark *b)
{
	return memcmp(a->words, b->words, sizeof(a->words)) == 0;
}
