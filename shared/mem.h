/* mem: allocation that cannot fail for our own small, fixed sizes, and wiping.
 * Sizes that a peer chose use malloc() and are checked by the caller. */
#ifndef SHARED_MEM_H
#define SHARED_MEM_H

#include <stdbool.h>
#include <stddef.h>

/* Exit the process when memory is gone. Free with free(). */
void *xmalloc(size_t size);
void *xcalloc(size_t count, size_t size);
void *xrealloc(void *old, size_t size);
char *xstrdup(const char *s);
char *xstrndup(const char *s, size_t len);

/* From here on what is freed at the top of the heap stays with the process, up to that many bytes,
 * and pieces up to half of it come from the heap: for programs whose large pieces come and go all
 * the time, as fresh pages are dear. */
void mem_keep(int bytes);

/* Overwrites memory in a way the compiler keeps. NULL with 0 is fine. */
void mem_wipe(void *p, size_t len);
/* Wipes a NUL-terminated string and frees it. NULL is fine. */
void mem_free_secret(char *s);

/* Copies s into dst[cap], always terminated. False when it did not fit (dst is then ""). */
bool str_copy(char *dst, size_t cap, const char *s);
bool str_copy_len(char *dst, size_t cap, const char *s, size_t len);

#endif
