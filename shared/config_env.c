#include "shared/config_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shared/file.h"
#include "shared/mem.h"
#include "shared/text.h"

#define TOKEN_MIN 16
#define TOKEN_MAX 1024
#define SECRET_MIN 32
#define SECRET_MAX 4096
#define VALUE_MAX 16384 /* bytes of one variable */

#define PREFIX "AIRLOCK_CP_"
#define TOKEN "AIRLOCK_CP_OPERATOR_TOKEN"
#define SESSION "AIRLOCK_SESSION_SECRET"
#define ALLOW_LOCALHOST "AIRLOCK_CP_ALLOW_LOCALHOST_PUBLIC_URL"
#define PUBLIC_URL_HINT                                                                            \
	"; set it to a real HTTPS URL or, for local development only, set " ALLOW_LOCALHOST "=tru" \
	"e"
#define LOCAL_PUBLIC_URL "http://localhost:18080"

/* Everything that begins with PREFIX and means something. */
static const char *const known[] = {
	TOKEN,
	"AIRLOCK_CP_OPERATOR_TOKEN_FILE",
	"AIRLOCK_CP_PUBLIC_URL",
	"AIRLOCK_CP_CONFIG",
	"AIRLOCK_CP_STATE_PATH",
	"AIRLOCK_CP_SNAPSHOT_DIR",
	"AIRLOCK_CP_LOG_LEVEL",
	"AIRLOCK_CP_ALLOWED_ORIGINS",
	"AIRLOCK_CP_METRICS_PORT",
	"AIRLOCK_CP_MAX_SESSIONS_PER_TENANT",
	ALLOW_LOCALHOST,
};
#define KNOWN_COUNT (sizeof(known) / sizeof(known[0]))

/* The value of a variable; NULL when it is unset or empty, which are the same to us. */
static const char *get(char *const env[], const char *name)
{
	size_t len = strlen(name);

	for (; *env; env++) {
		if (strncmp(*env, name, len) == 0 && (*env)[len] == '=')
			return (*env)[len + 1] ? *env + len + 1 : NULL;
	}
	return NULL;
}

/* --- URLs ------------------------------------------------------------------- */

struct url {
	bool https;
	char host[256]; /* lower case, an IPv6 address in its brackets */
	int port; /* 0: the scheme's own */
	const char *rest;
};

static void lower(char *s)
{
	for (; *s; s++) {
		if (*s >= 'A' && *s <= 'Z')
			*s = (char)(*s - 'A' + 'a');
	}
}

static bool host_ok(const char *host)
{
	char address[64];
	struct in6_addr ignored;
	size_t len = strlen(host);

	if (host[0] != '[')
		return len > 0 && host[0] != '.' &&
			strspn(host, "abcdefghijklmnopqrstuvwxyz0123456789.-_") == len;
	return host[len - 1] == ']' && str_copy_len(address, sizeof(address), host + 1, len - 2) &&
		inet_pton(AF_INET6, address, &ignored) == 1;
}

/* Takes the ":port" off the end of authority. */
static bool split_port(char *authority, int *port)
{
	char *close = strrchr(authority, ']');
	char *colon = strchr(close ? close : authority, ':');
	int64_t n = 0;

	if (colon) {
		*colon = '\0';
		if (!config_int(colon + 1, 1, 65535, &n))
			return false;
	}
	*port = (int)n;
	return true;
}

/* NULL when url is "http(s)://host[:port]" and something more; otherwise the reason, which ends the
 * sentence "... ". */
static const char *parse_url(const char *text, struct url *out)
{
	size_t scheme = strcspn(text, ":");

	if (strncmp(text + scheme, "://", 3) != 0)
		return "is not an http:// or https:// URL";
	if (scheme == 5 && strncasecmp(text, "https", 5) == 0)
		out->https = true;
	else if (scheme == 4 && strncasecmp(text, "http", 4) == 0)
		out->https = false;
	else
		return "is not an http:// or https:// URL";
	text += scheme + 3;
	size_t len = strcspn(text, "/?#");
	if (memchr(text, '@', len))
		return "holds a user name or password";
	if (len == 0)
		return "has no host";
	if (!str_copy_len(out->host, sizeof(out->host), text, len))
		return "has a host that is too long";
	lower(out->host);
	if (!split_port(out->host, &out->port))
		return "has a port that is not a number from 1 to 65535";
	if (!host_ok(out->host))
		return "has a host that is not valid";
	out->rest = text + len;
	return NULL;
}

static void put_origin(struct buf *out, const struct url *u)
{
	buf_printf(out, "%s://%s", u->https ? "https" : "http", u->host);
	if (u->port && u->port != (u->https ? 443 : 80))
		buf_printf(out, ":%d", u->port);
}

char *config_origin(const char *text, const char **why)
{
	struct url u;
	struct buf b;

	if (strcmp(text, "*") == 0) {
		*why = "is '*': any web page could then use a signed-in operator's browser; name "
		       "each origin";
		return NULL;
	}
	*why = parse_url(text, &u);
	if (!*why && *u.rest)
		*why = "has more than scheme://host[:port]; leave out the path and the last slash";
	if (*why)
		return NULL;
	buf_init(&b, 512);
	put_origin(&b, &u);
	return buf_steal(&b);
}

/* --- the public URL ------------------------------------------------------------ */

static const char *path_problem(const char *path)
{
	if (strchr(path, '?') || strchr(path, '#'))
		return "holds a query or a fragment";
	return path[text_span(path, "-._~%!$&'()*+,;=:@/")]
		? "holds characters that a URL can't have"
		: NULL;
}

static enum rc load_public_url(
	struct config *c, char *const env[], struct buf *warnings, struct config_error *err)
{
	const char *text = get(env, "AIRLOCK_CP_PUBLIC_URL");
	struct url u;
	struct buf b;

	if (!text && !c->allow_localhost)
		return config_fail(err, "AIRLOCK_CP_PUBLIC_URL is unset" PUBLIC_URL_HINT);
	if (!text)
		text = LOCAL_PUBLIC_URL;
	const char *why = parse_url(text, &u);
	if (!why)
		why = path_problem(u.rest);
	if (why)
		return config_fail(err, "AIRLOCK_CP_PUBLIC_URL %s" PUBLIC_URL_HINT, why);
	bool local = text_host_is_loopback(u.host);
	if (local && !c->allow_localhost)
		return config_fail(err, "AIRLOCK_CP_PUBLIC_URL contains %s%.60s" PUBLIC_URL_HINT,
			strcmp(u.host, "localhost") == 0 ? "" : "localhost under the name ",
			u.host);
	if (!local && !u.https)
		buf_printf(warnings,
			"AIRLOCK_CP_PUBLIC_URL is http, not https: workers and agents would send "
			"their credentials in the clear\n");
	size_t path_len = strlen(u.rest);
	while (path_len && u.rest[path_len - 1] == '/')
		path_len--;
	buf_init(&b, VALUE_MAX + 512);
	put_origin(&b, &u);
	buf_add(&b, u.rest, path_len);
	c->public_url = buf_steal(&b);
	return RC_OK;
}

/* --- secrets ---------------------------------------------------------------------- */

/* The secret's text from NAME or from the file that NAME_FILE names; *out is NULL when neither is
 * set. Caller wipes. */
static enum rc read_secret(char *const env[], const char *name, const char *file_name, char **out,
	struct config_error *err)
{
	const char *value = get(env, name);
	const char *path = get(env, file_name);
	size_t len;

	*out = NULL;
	if (value && path)
		return config_fail(
			err, "%s and %s are both set; keep one of them", name, file_name);
	if (value)
		*out = xstrdup(value);
	if (!path)
		return RC_OK;
	enum rc rc = file_read(path, VALUE_MAX, out, &len);
	if (rc == RC_LIMIT)
		return config_fail(err, "%s: %s is too long to be a secret", file_name, path);
	if (rc != RC_OK)
		return config_fail(err, "%s: can't read %s: %s", file_name, path, strerror(errno));
	bool whole = strlen(*out) == len;
	while (len && ((*out)[len - 1] == '\n' || (*out)[len - 1] == '\r'))
		(*out)[--len] = '\0';
	if (whole && len)
		return RC_OK;
	mem_wipe(*out, len);
	free(*out);
	*out = NULL;
	return config_fail(
		err, "%s: %s %s", file_name, path, len ? "is not a text file" : "is empty");
}

#define HINT "make one with: openssl rand -hex 32"

static enum rc check_token(const char *text, struct config_error *err)
{
	size_t len = strlen(text);

	if (len < TOKEN_MIN || len > TOKEN_MAX)
		return config_fail(
			err, TOKEN " must have %d to %d characters; " HINT, TOKEN_MIN, TOKEN_MAX);
	/* It travels in a header. */
	for (; *text; text++) {
		if (*text <= ' ' || *text >= 0x7F)
			return config_fail(
				err, TOKEN " must be printable ASCII without spaces; " HINT);
	}
	return RC_OK;
}

static enum rc check_session_secret(const char *text, struct config_error *err)
{
	size_t len = strlen(text);

	if (len < SECRET_MIN || len > SECRET_MAX)
		return config_fail(
			err, SESSION " must have %d to %d bytes; " HINT, SECRET_MIN, SECRET_MAX);
	return RC_OK;
}

static enum rc load_secrets(struct config *c, char *const env[], struct config_error *err)
{
	enum rc rc = read_secret(env, TOKEN, TOKEN "_FILE", &c->operator_token, err);

	if (rc != RC_OK)
		return rc;
	if (!c->operator_token)
		return config_fail(err, TOKEN " is unset; " HINT);
	rc = check_token(c->operator_token, err);
	if (rc == RC_OK)
		rc = read_secret(env, SESSION, SESSION "_FILE", &c->session_secret, err);
	if (rc == RC_OK && c->session_secret)
		rc = check_session_secret(c->session_secret, err);
	return rc;
}

/* Zeroes the values where they stand: that is the memory behind /proc/<pid>/environ. */
static void hide(char *const env[], const char *name)
{
	size_t len = strlen(name);

	for (; *env; env++) {
		if (strncmp(*env, name, len) == 0 && (*env)[len] == '=')
			mem_wipe(*env + len + 1, strlen(*env + len + 1));
	}
}

void config_hide_secrets(char *const env[])
{
	hide(env, TOKEN);
	hide(env, SESSION);
	unsetenv(TOKEN);
	unsetenv(SESSION);
}

/* --- the rest ------------------------------------------------------------------------ */

static enum rc load_path(char *const env[], const char *name, const char *preset, char **out,
	struct config_error *err)
{
	const char *text = get(env, name);

	if (!text)
		text = preset;
	if (text && (text[0] != '/' || !text_name_ok(text, 1024)))
		return config_fail(err, "%s must be an absolute path", name);
	*out = text ? xstrdup(text) : NULL;
	return RC_OK;
}

static enum rc load_bool(
	char *const env[], const char *name, bool preset, bool *out, struct config_error *err)
{
	const char *text = get(env, name);

	*out = preset;
	if (text && !config_bool(text, out))
		return config_fail(err, "%s must be true or false", name);
	return RC_OK;
}

static enum rc load_demo(struct config *c, char *const env[], struct config_error *err)
{
	const char *name = "AIRLOCK_DEMO_TENANT_REGISTER";

	if (!get(env, name))
		name = "AIRLOCK_DEMO_TENANT_ENABLED"; /* the name it once had */
	return load_bool(env, name, true, &c->demo_tenants, err);
}

static enum rc load_int(char *const env[], const char *name, int preset, int min, int max, int *out,
	struct config_error *err)
{
	const char *text = get(env, name);
	int64_t n = preset;

	if (text && !config_int(text, min, max, &n))
		return config_fail(err, "%s must be a whole number from %d to %d", name, min, max);
	*out = (int)n;
	return RC_OK;
}

/* Kubernetes sets NAME_PORT=tcp://10.0.0.1:9090 for a Service of that name: one called
 * airlock-cp-metrics hits our variable. */
static enum rc load_metrics_port(
	struct config *c, char *const env[], struct buf *warnings, struct config_error *err)
{
	static const char name[] = "AIRLOCK_CP_METRICS_PORT";
	const char *text = get(env, name);

	if (text && strstr(text, "://")) {
		buf_printf(warnings,
			"%s was set by Kubernetes for a Service, not by you; 9090 is used. Set "
			"enableServiceLinks: false in the pod\n",
			name);
		c->metrics_port = 9090;
		return RC_OK;
	}
	return load_int(env, name, 9090, 0, 65535, &c->metrics_port, err);
}

static enum rc load_origins(struct config *c, const char *text, struct config_error *err)
{
	static const char name[] = "AIRLOCK_CP_ALLOWED_ORIGINS";
	enum rc rc = RC_OK;

	if (!text)
		return RC_OK;
	char *copy = xstrdup(text);
	char *rest = copy;
	char *item;
	while (rc == RC_OK && (item = strsep(&rest, ","))) {
		const char *why;

		item += strspn(item, " \t");
		item[strcspn(item, " \t")] = '\0';
		if (!*item)
			continue;
		char *origin = config_origin(item, &why);
		if (!origin)
			rc = config_fail(err, "%s holds an origin that %s", name, why);
		else if (c->origin_count == CONFIG_ORIGINS_MAX) {
			free(origin);
			rc = config_fail(
				err, "%s holds more than %d origins", name, CONFIG_ORIGINS_MAX);
		} else
			c->origins[c->origin_count++] = origin;
	}
	free(copy);
	return rc;
}

enum rc config_load_env_reloadable(struct config *c, char *const env[], struct config_error *err)
{
	const char *level = get(env, "AIRLOCK_CP_LOG_LEVEL");

	c->log_level = LOG_LEVEL_INFO;
	if (level && log_level_parse(level, &c->log_level) != RC_OK)
		return config_fail(err,
			"AIRLOCK_CP_LOG_LEVEL must be DEBUG, INFO, WARNING, ERROR or CRITICAL");
	return load_origins(c, get(env, "AIRLOCK_CP_ALLOWED_ORIGINS"), err);
}

/* Kubernetes announces every Service of a namespace in every pod: X_SERVICE_HOST,
 * X_SERVICE_PORT[_NAME], X_PORT=tcp://..., X_PORT_<n>_TCP[_PROTO|_PORT|_ADDR]. name is what follows
 * "AIRLOCK_CP" and value what follows "=". */
static bool from_kubernetes(const char *name, const char *value)
{
	const char *port;

	if (strstr(name, "_SERVICE_HOST") || strstr(name, "_SERVICE_PORT"))
		return true;
	for (port = strstr(name, "_PORT"); port; port = strstr(port + 1, "_PORT")) {
		const char *rest = port + strlen("_PORT");

		if (*rest == '=')
			return strstr(value, "://") != NULL;
		if (*rest == '_' && rest[1] >= '0' && rest[1] <= '9')
			return true;
	}
	return false;
}

static void warn_unknown(char *const env[], struct buf *warnings)
{
	const char *tails[KNOWN_COUNT]; /* what differs: all begin alike */

	for (size_t i = 0; i < KNOWN_COUNT; i++)
		tails[i] = known[i] + strlen(PREFIX);
	for (; *env; env++) {
		size_t len = strcspn(*env, "=");
		char name[128];
		bool fine = strncmp(*env, PREFIX, strlen(PREFIX)) != 0;

		for (size_t i = 0; i < KNOWN_COUNT && !fine; i++)
			fine = strlen(known[i]) == len && memcmp(*env, known[i], len) == 0;
		if (fine || !str_copy_len(name, sizeof(name), *env, len))
			continue;
		if (from_kubernetes(*env + strlen(PREFIX) - 1, *env + len))
			continue;
		buf_printf(warnings, "%s is not a variable of Airlock CP and is ignored", name);
		const char *nearest = text_nearest(name + strlen(PREFIX), tails, KNOWN_COUNT);
		if (nearest)
			buf_printf(warnings, "; did you mean " PREFIX "%s?", nearest);
		buf_char(warnings, '\n');
	}
}

static enum rc check_lengths(char *const env[], struct config_error *err)
{
	for (; *env; env++) {
		size_t name_len = strcspn(*env, "=");

		if (strncmp(*env, "AIRLOCK_", 8) == 0 && strlen(*env) > VALUE_MAX)
			return config_fail(err, "%.*s is longer than %d bytes",
				(int)(name_len < 100 ? name_len : 100), *env, VALUE_MAX);
	}
	return RC_OK;
}

enum rc config_load_env(
	struct config *c, char *const env[], struct buf *warnings, struct config_error *err)
{
	enum rc rc = check_lengths(env, err);

	if (rc == RC_OK)
		rc = load_bool(env, ALLOW_LOCALHOST, false, &c->allow_localhost, err);
	if (rc == RC_OK)
		rc = load_public_url(c, env, warnings, err);
	if (rc == RC_OK)
		rc = load_secrets(c, env, err);
	if (rc == RC_OK)
		rc = load_path(
			env, "AIRLOCK_CP_CONFIG", "/state/config.yaml", &c->config_path, err);
	if (rc == RC_OK)
		rc = load_path(env, "AIRLOCK_CP_STATE_PATH", NULL, &c->state_path, err);
	if (rc == RC_OK)
		rc = load_path(
			env, "AIRLOCK_CP_SNAPSHOT_DIR", "/state/snapshots", &c->snapshot_dir, err);
	if (rc == RC_OK)
		rc = config_load_env_reloadable(c, env, err);
	if (rc == RC_OK)
		rc = load_metrics_port(c, env, warnings, err);
	if (rc == RC_OK)
		rc = load_int(env, "AIRLOCK_CP_MAX_SESSIONS_PER_TENANT", 8, 1, 100000,
			&c->max_sessions_per_tenant, err);
	if (rc == RC_OK)
		rc = load_demo(c, env, err);
	if (rc == RC_OK)
		warn_unknown(env, warnings);
	return rc;
}
