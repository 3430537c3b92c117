#include "worker/heap.h"

#include <pthread.h>
#include <sqlite3.h>

#include "shared/log.h"

#define ASK_EVERY 256 /* allocations: some ten microseconds */

static sqlite3_mem_methods
	below; /* SQLite's default allocator; written once, before SQLite starts */
static enum rc installed = RC_INTERNAL;

static _Thread_local int64_t limit; /* 0: not counting */
static _Thread_local int64_t used;
static _Thread_local bool refused;
static _Thread_local unsigned asked;
static _Thread_local bool (*go_on)(void *ctx);
static _Thread_local void *go_on_ctx;

static bool fits(int64_t more)
{
	if (limit == 0)
		return true;
	if (used + more <= limit && (++asked % ASK_EVERY != 0 || go_on(go_on_ctx)))
		return true;
	refused = true;
	return false;
}

static void *heap_malloc(int size)
{
	void *p = fits(size) ? below.xMalloc(size) : NULL;

	if (p)
		used += below.xSize(p);
	return p;
}

static void heap_free(void *p)
{
	if (p)
		used -= below.xSize(p);
	below.xFree(p);
}

static void *heap_realloc(void *old, int size)
{
	int before = old ? below.xSize(old) : 0;
	void *p = fits((int64_t)size - before) ? below.xRealloc(old, size) : NULL;

	if (p)
		used += below.xSize(p) - before;
	return p;
}

static void install(void)
{
	sqlite3_mem_methods counting;

	if (sqlite3_config(SQLITE_CONFIG_GETMALLOC, &below) == SQLITE_OK) {
		counting = below;
		counting.xMalloc = heap_malloc;
		counting.xFree = heap_free;
		counting.xRealloc = heap_realloc;
		if (sqlite3_config(SQLITE_CONFIG_MALLOC, &counting) == SQLITE_OK)
			installed = RC_OK;
	}
	if (installed != RC_OK)
		log_err("SQLite was in use before its memory budget could be put in place");
}

enum rc heap_install(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, install);
	return installed;
}

void heap_begin(int64_t bytes, bool (*may_go_on)(void *ctx), void *ctx)
{
	go_on = may_go_on;
	go_on_ctx = ctx;
	asked = 0;
	limit = bytes;
	used = 0;
	refused = false;
}

bool heap_end(void)
{
	limit = 0;
	return refused;
}
