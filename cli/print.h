/* print: JSON from the server as text for people. Appends to a buf; control characters that the
 * server sent never reach a terminal. Pure. */
#ifndef CLI_PRINT_H
#define CLI_PRINT_H

#include <jansson.h>
#include <stddef.h>

#include "shared/buf.h"

enum print_kind {
	PRINT_TEXT,
	PRINT_TIME, /* UTC seconds or RFC 3339 text; 0 and null are "-" */
	PRINT_FLAG, /* yes, or "-"; a time other than 0 is a yes */
	PRINT_COUNT, /* a number, or how many elements an array has */
	PRINT_LIST, /* the strings of an array, "all" when it is null */
};
struct print_column {
	const char *title;
	const char *member;
	enum print_kind kind;
};

/* One line of titles and one for each object of the array, columns aligned by characters. */
void print_table(
	struct buf *out, const struct print_column *columns, size_t count, const json_t *array);
/* "member.member  value", one a line, aligned; nested objects are walked. */
void print_object(struct buf *out, const json_t *object);
void print_json(struct buf *out, const json_t *json);
/* Text in which control characters other than newline and tab are shown as '?'. */
void print_plain(struct buf *out, const char *text);

#endif
