/* repair: messages about a refused statement that help a language model to repair it: they name the
 * table or column that is close. Pure; shared by the engines. */
#ifndef WORKER_REPAIR_H
#define WORKER_REPAIR_H

#include "worker/engine.h"

#define REPAIR_NAME_MAX 64 /* bytes of an identifier that a message repeats */

/* Copies a name that came with a statement: bounded, printable, whole characters. */
void repair_name(const char *name, char out[REPAIR_NAME_MAX + 1]);
/* The table of that name in any case, or NULL. */
const struct engine_table *repair_table(const struct engine_shape *shape, const char *name);

/* Each fills the message and answers ENGINE_REFUSED. */
enum engine_status repair_refuse(struct engine_message *m, const char *text);
enum engine_status repair_no_table(
	const struct engine_shape *shape, const char *name, struct engine_message *m);
enum engine_status repair_no_column(
	const struct engine_shape *shape, const char *name, struct engine_message *m);

#endif
