/* toolset: the tools of one manifest by name, each with the fingerprint of its definition: what an
 * operator pins, and what two manifests are compared by. Knows nothing of pins or workers. */
#ifndef SHARED_TOOLSET_H
#define SHARED_TOOLSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/buf.h"
#include "shared/crypto.h"
#include "shared/jscan.h"
#include "shared/manifest.h"
#include "shared/rc.h"

/* "sha256:" and 64 hex digits: how people see one. */
#define TOOLSET_FINGERPRINT_LEN 71

struct toolset_tool {
	char name[MANIFEST_TOOL_MAX + 1];
	uint8_t fingerprint[CRYPTO_HASH_LEN];
};
/* A struct of zeros has no tools. */
struct toolset {
	struct toolset_tool *tools; /* by name */
	size_t count;
};

/* Of a manifest that manifest_check() accepted; of any other text, what is legible of it. RC_LIMIT:
 * no memory. Free with toolset_free(). */
enum rc toolset_read(const char *manifest, size_t len, struct toolset *out) MUST_CHECK;
/* Appends what the fingerprint is the SHA-256 of: one JSON object of the members that say what a
 * tool is and does (annotations, description, inputSchema, name, outputSchema, title), keys sorted,
 * without white space. One that can't be read as such (a number beyond int64 or double, a key
 * twice) keeps its members as they are spelt. */
void toolset_definition(struct jscan tool, struct buf *out);
/* Members of a definition, by which two may differ; ends with NULL. */
extern const char *const toolset_members[];
void toolset_fingerprint(const void *definition, size_t len, uint8_t out[CRYPTO_HASH_LEN]);
void toolset_fingerprint_text(
	const uint8_t fingerprint[CRYPTO_HASH_LEN], char out[TOOLSET_FINGERPRINT_LEN + 1]);
/* RC_INVALID: it is no fingerprint. */
enum rc toolset_fingerprint_read(const char *text, uint8_t out[CRYPTO_HASH_LEN]) MUST_CHECK;

/* NULL: there is none of that name. */
const struct toolset_tool *toolset_find(const struct toolset *s, const char *name);
/* Tools must come in the order of their names. RC_LIMIT: no memory. */
enum rc toolset_add(struct toolset *s, const struct toolset_tool *tool) MUST_CHECK;
void toolset_free(struct toolset *s);

enum toolset_difference { TOOLSET_ADDED, TOOLSET_GONE, TOOLSET_CHANGED, TOOLSET_DIFFERENCES };
/* Calls visit for each tool in which is and was differ, by name. */
typedef void (*toolset_visit_fn)(void *ctx, enum toolset_difference d, const char *name);
void toolset_compare(
	const struct toolset *was, const struct toolset *is, toolset_visit_fn visit, void *ctx);

/* The names of one comparison, as many as are worth showing. */
#define TOOLSET_SHOWN_MAX 16
struct toolset_names {
	const char *names[TOOLSET_DIFFERENCES][TOOLSET_SHOWN_MAX]; /* borrowed from the two */
	size_t count[TOOLSET_DIFFERENCES]; /* of all, also those that are not in names */
};
/* False: the two are the same. */
bool toolset_differences(
	const struct toolset *was, const struct toolset *is, struct toolset_names *out);
/* Appends "2 added (a, b), 1 gone (c)". */
void toolset_names_text(struct buf *out, const struct toolset_names *n);

#endif
