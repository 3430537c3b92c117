/* api: the control plane over HTTP, as an operator. Prints every refusal itself, so that callers
 * only pass the status on. */
#ifndef CLI_API_H
#define CLI_API_H

#include <jansson.h>
#include <stddef.h>

#include "cli/args.h"
#include "cli/commands.h"
#include "cli/print.h"
#include "shared/buf.h"
#include "shared/httpclient.h"

#define API_PATH_MAX 512

struct api {
	const char *url; /* without a trailing slash; borrowed from args or the environment, or
			    url_copy */
	char *url_copy;
	char *token; /* secret; NULL when none is needed */
	const char *ca_file; /* or NULL */
	const char *idempotency_key; /* or NULL */
	long timeout_ms;
};

/* Which control plane, from --url or $AIRLOCK_CP_PUBLIC_URL, and the time limit. STATUS_USAGE,
 * printed, when there is none. */
enum status api_open(const struct args *args, long timeout_ms, struct api *out);
/* The same, and the operator token from --token-file, $AIRLOCK_CP_OPERATOR_TOKEN or
 * $AIRLOCK_CP_OPERATOR_TOKEN_FILE. */
enum status api_open_admin(const struct args *args, struct api *out);
void api_close(struct api *api);

/* One admin request. body is taken over, or NULL. On STATUS_OK *out is the answer's JSON (an empty
 * object for 204), to be json_decref()ed. */
enum status api_call(
	const struct api *api, const char *method, const char *path, json_t *body, json_t **out);
/* Every page of a list: *out is a JSON array. member names the array in the answer. */
enum status api_list(const struct api *api, const char *path, const char *member, json_t **out);
/* One request that may be anything, for those who read the answer themselves. RC_UNAVAILABLE is
 * printed. */
enum status api_send(
	const struct api *api, struct httpclient_request *rq, struct httpclient_answer *out);
/* Prints a refusal: title, detail, code and request id of a problem+json body, or the bare status.
 */
enum status api_refused(const struct httpclient_answer *answer);

/* A secret of one line from a file: caller mem_free_secret()s. NULL, printed, when it can't be read
 * or is empty. */
char *api_secret_file(const char *path);

/* "/v1/admin/tenants/t_<slug><suffix>" from a slug or an id. STATUS_USAGE, printed, when it is
 * neither. */
enum status api_tenant_path(const char *tenant, const char *suffix, char out[API_PATH_MAX]);
/* The same with "/<id>" after it; the id may hold letters, digits, '-' and '_'. */
enum status api_item_path(
	const char *tenant, const char *suffix, const char *id, char out[API_PATH_MAX]);
/* The slug of a slug or an id; NULL when it is neither. Borrowed. Pure. */
const char *api_slug(const char *tenant);

/* How results are shown: --json, --quiet (that member only) or the text that show() appends. */
enum status api_show_list(const struct args *args, json_t *array, const char *quiet_member,
	const struct print_column *columns, size_t count);
enum status api_show_object(const struct args *args, json_t *object, const char *quiet_member);
/* A buf to standard output; wiped after. */
void api_out(struct buf *text);

#endif
