#include "shared/mem.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "shared/log.h"

void *xmalloc(size_t size)
{
	/* malloc(0) may give NULL without anything being wrong. */
	void *p = malloc(size ? size : 1);

	if (!p)
		die("out of memory");
	return p;
}

void *xcalloc(size_t count, size_t size)
{
	void *p = calloc(count ? count : 1, size ? size : 1);

	if (!p)
		die("out of memory");
	return p;
}

void *xrealloc(void *old, size_t size)
{
	void *p = realloc(old, size ? size : 1);

	if (!p)
		die("out of memory");
	return p;
}

char *xstrdup(const char *s)
{
	return xstrndup(s, strlen(s));
}

char *xstrndup(const char *s, size_t len)
{
	size_t n = strnlen(s, len);
	char *copy = xmalloc(n + 1);

	memcpy(copy, s, n);
	copy[n] = '\0';
	return copy;
}

void mem_keep(int bytes)
{
	(void)mallopt(M_TRIM_THRESHOLD, bytes);
	(void)mallopt(M_MMAP_THRESHOLD, bytes / 2);
}

void mem_wipe(void *p, size_t len)
{
	if (p && len)
		explicit_bzero(p, len);
}

void mem_free_secret(char *s)
{
	if (s)
		mem_wipe(s, strlen(s));
	free(s);
}

bool str_copy(char *dst, size_t cap, const char *s)
{
	return str_copy_len(dst, cap, s, strlen(s));
}

bool str_copy_len(char *dst, size_t cap, const char *s, size_t len)
{
	if (cap == 0)
		return false;
	if (len >= cap) {
		dst[0] = '\0';
		return false;
	}
	if (len)
		memcpy(dst, s, len);
	dst[len] = '\0';
	return true;
}
