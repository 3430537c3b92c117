/* yaml_read: values out of a parsed YAML document, where a wrong one is told with its file and
 * line. Knows what a value looks like, not what it means. */
#ifndef SHARED_YAML_READ_H
#define SHARED_YAML_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <yaml.h>

#include "shared/rc.h"

struct yaml_read {
	yaml_document_t doc;
	const char *path; /* for messages */
	char *err; /* gets "path:line: what" with RC_INVALID */
	size_t err_cap;
};

/* Parses text. Only after RC_OK: yaml_document_delete(&r->doc). */
enum rc yaml_read_parse(struct yaml_read *r, const char *text, size_t len) MUST_CHECK;
/* Says what is wrong with node (NULL: the document); always RC_INVALID. */
enum rc yaml_read_bad(const struct yaml_read *r, const yaml_node_t *node, const char *what);

/* A plain null, or nothing at all. */
bool yaml_read_is_null(const yaml_node_t *node);
/* A scalar's text, or NULL when it is no scalar or holds a NUL. Borrowed from the document. */
const char *yaml_read_scalar(const yaml_node_t *node);
/* A mapping's member; NULL when it is absent or null. */
yaml_node_t *yaml_read_member(struct yaml_read *r, const yaml_node_t *map, const char *name);

/* These read a member of a mapping; one that is absent or null gives NULL, false, or the fallback.
 */
enum rc yaml_read_text(
	struct yaml_read *r, const yaml_node_t *map, const char *name, const char **out) MUST_CHECK;
enum rc yaml_read_bool(
	struct yaml_read *r, const yaml_node_t *map, const char *name, bool *out) MUST_CHECK;
/* A whole number from 0 to max. */
enum rc yaml_read_number(struct yaml_read *r, const yaml_node_t *map, const char *name, int64_t max,
	int64_t fallback, int64_t *out) MUST_CHECK;
/* UTC seconds: RFC 3339, the same with a space for the T or without the zone, or seconds since
 * 1970. */
enum rc yaml_read_time(struct yaml_read *r, const yaml_node_t *map, const char *name,
	int64_t fallback, int64_t *out) MUST_CHECK;

/* Calls each for the values of a sequence (key is NULL) or of a mapping, until one is not RC_OK.
 * NULL is an empty list. */
enum rc yaml_read_walk(struct yaml_read *r, const yaml_node_t *list,
	enum rc (*each)(void *ctx, const yaml_node_t *item, const char *key), void *ctx) MUST_CHECK;

#endif
