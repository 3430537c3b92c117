/* config_internal: what config.c, config_env.c and config_yaml.c need of one another. Not for
 * anyone else. */
#ifndef SHARED_CONFIG_INTERNAL_H
#define SHARED_CONFIG_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>

#include "shared/config.h"

#define CONFIG_FILE_MAX 262144 /* bytes of config.yaml */

/* Fills err and returns RC_INVALID, so that it can end a function. */
enum rc config_fail(struct config_error *err, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* true/false, yes/no, on/off, 1/0 in any case. */
bool config_bool(const char *text, bool *out);
/* A whole decimal number in [min, max], nothing around it. */
bool config_int(const char *text, int64_t min, int64_t max, int64_t *out);

/* --- config_env.c --- */
/* AIRLOCK_CP_LOG_LEVEL and AIRLOCK_CP_ALLOWED_ORIGINS alone. */
enum rc config_load_env_reloadable(
	struct config *c, char *const env[], struct config_error *err) MUST_CHECK;
/* Checks one origin and gives its normal form (lower case, no default port), freed by the caller.
 * NULL: *why is a constant text that ends the sentence "... ". */
char *config_origin(const char *text, const char **why);
/* Overwrites the two secrets where the kernel shows them (/proc/<pid>/environ) and unsets them. */
void config_hide_secrets(char *const env[]);

/* --- config_yaml.c --- */
size_t config_key_count(void);
/* "server.run_dir" */
void config_key_name(size_t i, struct buf *out);
/* How many pointers to strings of its own key i has in the struct, from *offset on; 0 for a number.
 */
size_t config_key_pointers(size_t i, size_t *offset);
void config_key_value(const struct config *c, size_t i, struct buf *out);

/* --- config.c --- */
/* state_path's default and import_path, once both environment and file are loaded. */
void config_derive(struct config *c);

#endif
