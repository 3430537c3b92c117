#include "worker/enroll.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "shared/httpclient.h"
#include "shared/jscan.h"
#include "shared/log.h"
#include "shared/mem.h"
#include "shared/text.h"
#include "worker/endpoint.h"
#include "worker/secretenv.h"
#include "worker/wconfig.h"

#define ANSWER_MAX 65536
#define TIMEOUT_MS 30000

struct enrolling {
	const struct enroll_options *options;
	const struct wconfig *wconfig;
	char url[ENDPOINT_URL_MAX]; /* of the control plane, without a trailing slash */
	char *token;
	struct crypto_identity identity;
	bool staged; /* the identity is not yet in its place */
};

/* --- the token --- */

/* One line without the white space around it. NULL when there is none or it is too long. */
static char *read_line(FILE *f)
{
	char line[ENROLL_TOKEN_MAX + 2] = "";
	char *token = NULL;

	if (fgets(line, sizeof line, f) != NULL) {
		char *start = line + strspn(line, " \t\r\n");
		size_t len = strcspn(start, " \t\r\n");
		if (len > 0 && len <= ENROLL_TOKEN_MAX)
			token = xstrndup(start, len);
	}
	mem_wipe(line, sizeof line);
	return token;
}

static char *ask(void)
{
	struct termios before, quiet;
	bool terminal = isatty(STDIN_FILENO) != 0 && tcgetattr(STDIN_FILENO, &before) == 0;

	if (terminal) {
		quiet = before;
		quiet.c_lflag &= ~(tcflag_t)ECHO;
		(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
		(void)fputs("Enrollment token: ", stderr);
	}
	char *token = read_line(stdin);
	if (terminal) {
		(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
		(void)fputc('\n', stderr);
	}
	return token;
}

static char *find_token(const char *file)
{
	char *from_env = secretenv_take("AIRLOCK_ENROLLMENT_TOKEN");
	FILE *f;

	if (file == NULL)
		return from_env != NULL ? from_env : ask();
	mem_free_secret(from_env);
	f = fopen(file, "re");
	if (f == NULL) {
		log_err("can't read the token file %s: %s", file, strerror(errno));
		return NULL;
	}
	/* Unbuffered: the token must not stay behind in a buffer of the library. */
	(void)setvbuf(f, NULL, _IONBF, 0);
	char *token = read_line(f);
	(void)fclose(f);
	return token;
}

/* --- request and answer --- */

void enroll_request_json(const char *token, const uint8_t public_key[CRYPTO_PUBLIC_LEN],
	const char *name, struct buf *out)
{
	char key[TEXT_B64_LEN(CRYPTO_PUBLIC_LEN) + 1];

	text_b64(public_key, CRYPTO_PUBLIC_LEN, key);
	buf_str(out, "{\"token\":");
	buf_json(out, token);
	buf_str(out, ",\"public_key\":");
	buf_json(out, key);
	buf_str(out, ",\"name\":");
	buf_json(out, name);
	buf_char(out, '}');
}

static bool answer_str(struct jscan root, const char *name, char *dst, size_t cap)
{
	struct jscan v;

	return jscan_get(root, name, &v) == RC_OK && jscan_str(v, dst, cap) == RC_OK &&
		dst[0] != '\0';
}

enum rc enroll_answer_parse(const char *text, size_t len, struct enrolled *out)
{
	struct enrolled e = {0};
	struct endpoint tunnel;
	struct jscan root;
	char key[TEXT_B64_LEN(CRYPTO_PUBLIC_LEN) + 1], why[128];
	size_t key_len;

	if (len > ANSWER_MAX || jscan_parse(text, len, &root) != RC_OK || root.kind != JSCAN_OBJECT)
		return RC_INVALID;
	if (!answer_str(root, "worker_id", e.worker_id, sizeof e.worker_id) ||
		!answer_str(root, "tenant_id", e.tenant_id, sizeof e.tenant_id) ||
		!answer_str(root, "tenant_slug", e.tenant_slug, sizeof e.tenant_slug) ||
		!answer_str(root, "cp_public_key", key, sizeof key) ||
		!answer_str(root, "tunnel_url", e.tunnel_url, sizeof e.tunnel_url))
		return RC_INVALID;
	if (text_unb64(key, strlen(key), e.cp_key, sizeof e.cp_key, &key_len) != RC_OK ||
		key_len != sizeof e.cp_key)
		return RC_INVALID;
	if (endpoint_parse(e.tunnel_url, &tunnel, why, sizeof why) != RC_OK || !tunnel.websocket)
		return RC_INVALID;
	*out = e;
	return RC_OK;
}

static enum rc post(struct enrolling *x, struct httpclient_answer *answer)
{
	char url[ENDPOINT_URL_MAX + 16], why[256] = "";
	const char *name = x->options->name != NULL ? x->options->name : x->wconfig->name;
	struct buf body;
	enum rc rc;

	(void)snprintf(url, sizeof url, "%s/v1/enroll", x->url);
	buf_init(&body, ANSWER_MAX);
	enroll_request_json(x->token, x->identity.public_key, name, &body);
	struct httpclient_request rq = {.method = "POST",
		.url = url,
		.body = body.data,
		.body_len = body.len,
		.content_type = "application/json",
		.ca_file = x->wconfig->ca_file,
		.timeout_ms = TIMEOUT_MS,
		.max_answer = ANSWER_MAX};
	rc = body.failed ? RC_INVALID : httpclient_do(&rq, answer, why, sizeof why);
	buf_wipe(&body);
	buf_free(&body);
	if (rc != RC_OK)
		log_err("the control plane can't be reached at %s: %s. Try `curl -v %s/health` "
			"from this machine: "
			"it shows whether name, route or certificate is at fault",
			x->url, why, x->url);
	return rc;
}

/* The refusal in the control plane's own words, where it gave some. */
static void log_refusal(const struct enrolling *x, const struct httpclient_answer *a)
{
	struct jscan root, v;
	char detail[300] = "";
	const char *text = (const char *)a->body.data;

	if (text != NULL && jscan_parse(text, a->body.len, &root) == RC_OK &&
		(jscan_get(root, "detail", &v) == RC_OK || jscan_get(root, "title", &v) == RC_OK) &&
		jscan_str(v, detail, sizeof detail) != RC_OK)
		detail[0] = '\0';
	switch (a->status) {
	case 401:
	case 403:
		log_err("the enrollment token is not valid, was used, was revoked or has expired "
			"(%d). Ask the operator "
			"for a new one: each works once",
			a->status);
		break;
	case 404:
		log_err("%s/v1/enroll does not exist: is --url the control plane's public URL?",
			x->url);
		break;
	case 409:
		log_err("the control plane knows this worker's key already: use --force to enroll "
			"with a new one");
		break;
	case 429:
		log_err("too many tries: wait a minute and run it again");
		break;
	default:
		log_err("the control plane answered %d%s%s", a->status,
			detail[0] != '\0' ? ": " : "", detail);
	}
	if (a->request_id[0] != '\0')
		log_err("the control plane's log has more under request %s", a->request_id);
}

/* --- keys --- */

static enum rc stage_key(struct enrolling *x, struct identity_error *err)
{
	enum rc rc = identity_stage_key(x->wconfig->state_dir, &x->identity, err);

	x->staged = rc == RC_OK;
	return rc;
}

/* Before the first try the key is on disk, so that a run that is cut off is followed by one with
 * the same key. A forced one leaves the old key in its place until the new one is enrolled. */
static enum rc prepare_key(struct enrolling *x, struct identity_error *err)
{
	const char *dir = x->wconfig->state_dir;
	enum rc rc;

	if (x->options->force)
		return stage_key(x, err);
	rc = identity_load_key(dir, &x->identity, err);
	if (rc != RC_NOTFOUND)
		return rc;
	rc = stage_key(x, err);
	if (rc == RC_OK)
		rc = identity_commit_key(dir, err);
	x->staged = false;
	return rc;
}

/* RC_DENIED: refused, and said so. */
static enum rc try_once(struct enrolling *x, struct enrolled *e, int *status)
{
	struct httpclient_answer answer = {0};
	enum rc rc = post(x, &answer);

	*status = answer.status;
	if (rc != RC_OK)
		return rc;
	if (answer.status == 409 && !x->staged) {
		rc = RC_CONFLICT; /* the caller has a way out */
	} else if (answer.status != 200 && answer.status != 201) {
		log_refusal(x, &answer);
		rc = RC_DENIED;
	} else {
		rc = enroll_answer_parse((const char *)answer.body.data, answer.body.len, e);
		if (rc != RC_OK)
			log_err("the answer of %s/v1/enroll makes no sense: is --url the control "
				"plane's public URL, and "
				"is it of this version?",
				x->url);
	}
	httpclient_answer_free(&answer);
	return rc;
}

static enum rc enroll(struct enrolling *x, struct enrolled *e, struct identity_error *err)
{
	int status = 0;
	enum rc rc = prepare_key(x, err);

	if (rc != RC_OK) {
		log_err("%s", err->text);
		return rc;
	}
	rc = try_once(x, e, &status);
	if (rc == RC_CONFLICT) {
		/* An earlier run was cut off between the control plane's answer and our disk: that
		 * worker can never connect. */
		log_warn("this key was enrolled before, but the answer was lost; enrolling with a "
			 "new key. The operator may "
			 "revoke the worker that never connected");
		rc = stage_key(x, err);
		if (rc != RC_OK) {
			log_err("%s", err->text);
			return rc;
		}
		rc = try_once(x, e, &status);
	}
	if (rc != RC_OK)
		return rc;
	memcpy(e->public_key, x->identity.public_key, sizeof e->public_key);
	(void)str_copy(e->url, sizeof e->url, x->url);
	if (x->staged)
		rc = identity_commit_key(x->wconfig->state_dir, err);
	if (rc == RC_OK)
		rc = identity_save_enrolled(x->wconfig->state_dir, e, err);
	if (rc != RC_OK)
		log_err("%s", err->text);
	return rc;
}

/* --- the command --- */

static bool check_url(struct enrolling *x)
{
	struct endpoint e;
	char why[128];

	if (endpoint_parse(x->options->url, &e, why, sizeof why) != RC_OK) {
		log_err("--url: %s", why);
		return false;
	}
	if (e.websocket) {
		log_err("--url: give the control plane's public URL, which starts with https://");
		return false;
	}
	if (!endpoint_safe(&e) && !x->options->allow_insecure) {
		log_err("--url is not encrypted: the token would be readable on the way. Use "
			"https://, or for a trial inside "
			"one network --allow-insecure");
		return false;
	}
	(void)str_copy(x->url, sizeof x->url, x->options->url);
	for (size_t n = strlen(x->url); n > 0 && x->url[n - 1] == '/'; n--)
		x->url[n - 1] = '\0';
	return true;
}

/* Whether there is nothing to do: enrolled already, with the key that is in its place. */
static bool enrolled_already(const struct enrolling *x, struct enrolled *e)
{
	const char *dir = x->wconfig->state_dir;
	struct identity_error err;
	struct crypto_identity id;

	if (x->options->force || identity_load_enrolled(dir, e, &err) != RC_OK ||
		identity_load_key(dir, &id, &err) != RC_OK)
		return false;
	bool same = crypto_equal(
		e->public_key, sizeof e->public_key, id.public_key, sizeof id.public_key);
	crypto_identity_wipe(&id);
	return same;
}

static int enroll_locked(struct enrolling *x)
{
	struct identity_error err;
	struct enrolled e;
	uint8_t mask[IDENTITY_MASK_LEN];

	if (identity_mask_secret(x->wconfig->state_dir, mask, &err) != RC_OK) {
		log_err("%s", err.text);
		return 1;
	}
	mem_wipe(mask, sizeof mask); /* it only had to come to be */
	if (enrolled_already(x, &e)) {
		(void)printf(
			"Enrolled already as %s for tenant %s at %s. Use --force to enroll anew.\n",
			e.worker_id, e.tenant_slug, e.url);
		return 0;
	}
	x->token = find_token(x->options->token_file);
	if (x->token == NULL) {
		log_err("no enrollment token: set AIRLOCK_ENROLLMENT_TOKEN, name a file with "
			"--token-file, or give it on "
			"standard input (at most %d characters)",
			ENROLL_TOKEN_MAX);
		return 1;
	}
	if (enroll(x, &e, &err) != RC_OK)
		return 1;
	(void)printf("Enrolled as %s for tenant %s. Start it with `airlock-worker run`.\n",
		e.worker_id, e.tenant_slug);
	return 0;
}

int worker_enroll(const struct enroll_options *options)
{
	struct enrolling x = {.options = options};
	struct wconfig *wconfig = NULL;
	struct wconfig_error werr = {.text = ""};
	struct identity_error err;
	int lock_fd = -1, status = 1;

	if (!check_url(&x))
		return 1;
	if (wconfig_load(options->config_path, &wconfig, &werr) != RC_OK) {
		log_err("%s", werr.text);
		return 1;
	}
	x.wconfig = wconfig;
	if (identity_open_dir(wconfig->state_dir, &lock_fd, &err) != RC_OK)
		log_err("%s", err.text);
	else
		status = enroll_locked(&x);
	if (lock_fd >= 0)
		close(lock_fd);
	crypto_identity_wipe(&x.identity);
	mem_free_secret(x.token);
	wconfig_free(wconfig);
	return status;
}
