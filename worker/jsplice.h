/* jsplice: changes to a JSON text that leave every other byte of it as it was: values replaced,
 * members put in or taken out. Edits are noted first and applied at once. Pure. */
#ifndef WORKER_JSPLICE_H
#define WORKER_JSPLICE_H

#include <stddef.h>

#include "shared/buf.h"
#include "shared/jscan.h"

struct jsplice_edit {
	const char *at; /* into the text */
	size_t cut;
	const char *put; /* borrowed until jsplice_apply() */
	size_t len;
	char after; /* a byte behind what is put, or 0 */
};

struct jsplice {
	struct jsplice_edit *edits;
	size_t count, room;
};

/* A struct of zeros has no edits. Frees them; the struct can be used again. */
void jsplice_free(struct jsplice *s);
void jsplice_replace(struct jsplice *s, struct jscan value, const char *put, size_t len);
/* Bytes put right behind the first byte of a value: behind a string's quote, say. */
void jsplice_prepend(struct jsplice *s, struct jscan value, const char *put, size_t len);
/* Members ("a":1,"b":2) put in front of the others; at most once for an object, and not together
 * with a removal from it. */
void jsplice_insert(struct jsplice *s, struct jscan object, const char *members, size_t len);
/* Takes a member out with its comma; nothing happens when there is none. */
void jsplice_remove(struct jsplice *s, struct jscan object, const char *name);
/* Appends the changed text. Edits must not overlap. */
void jsplice_apply(struct jsplice *s, const char *text, size_t len, struct buf *out);

#endif
