/* manifest: what a worker says it serves, checked before it is believed. Pure. */
#ifndef SHARED_MANIFEST_H
#define SHARED_MANIFEST_H

#include <stdbool.h>
#include <stddef.h>

#include "shared/buf.h"
#include "shared/jscan.h"
#include "shared/rc.h"

#define MANIFEST_TOOL_MAX 64

/* RC_OK; RC_INVALID: malformed (why gets a sentence); RC_DENIED: holds a database URL. */
enum rc manifest_check(const char *text, size_t len, char *why, size_t why_cap) MUST_CHECK;
/* 1 to 64 characters of A-Za-z0-9_./- */
bool manifest_tool_ok(const char *name);
/* Does any string in this JSON or YAML text look like a database URL, or any key read database_url?
 * Works on any text. */
bool manifest_has_database_url(const char *text, size_t len);
/* Appends the JSON array of tools, bytes untouched: only those on the allow-list (JSON array text,
 * or NULL for all), and none of those in withheld (NULL: none). */
struct toolset;
void manifest_tools(struct buf *out, const char *manifest, size_t len, const char *allowed,
	const struct toolset *withheld);
/* The tool's object, or JSCAN_NONE. */
struct jscan manifest_tool(const char *manifest, size_t len, const char *name);

#endif
