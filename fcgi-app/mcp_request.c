#include "fcgi-app/mcp_request.h"

#include <string.h>
#include <strings.h>

#include "shared/mem.h"
#include "shared/text.h"

#define ID_TEXT_MAX 1024
#define HEADER_VALUE_MAX 8192
#define ERROR_ANSWER_MAX 65536
#define META_PREFIX "io.modelcontextprotocol/"

const char mcp_versions_json[] = "[\"" MCP_MODERN_VERSION "\",\"" MCP_LEGACY_NEWEST
				 "\",\"2025-06-18\",\"" MCP_LEGACY_ASSUMED "\"]";

/* --- errors ------------------------------------------------------------------------ */

static enum rc refuse(struct mcp_error *why, int status, int code, const char *message)
{
	*why = (struct mcp_error){
		.status = status, .code = code, .message = message, .problem = PROBLEM_COUNT};
	return RC_INVALID;
}

static enum rc refuse_plain(struct mcp_error *why, enum problem p, const char *detail)
{
	*why = (struct mcp_error){.status = problem_status(p),
		.code = problem_rpc_code(p),
		.message = problem_title(p),
		.detail = detail,
		.problem = p,
		.plain = true};
	return RC_INVALID;
}

static enum rc refuse_shape(struct mcp_error *why, const char *detail)
{
	(void)refuse(why, 400, MCP_INVALID_REQUEST, "Invalid request");
	why->detail = detail;
	return RC_INVALID;
}

static enum rc refuse_header(struct mcp_error *why, const char *message)
{
	return refuse(why, 400, MCP_HEADER_MISMATCH, message);
}

static enum rc refuse_version(struct mcp_error *why, const char *requested)
{
	(void)refuse(why, 400, MCP_UNSUPPORTED_VERSION, "Unsupported protocol version");
	if (!str_copy(why->requested, sizeof(why->requested), requested))
		(void)str_copy_len(
			why->requested, sizeof(why->requested), requested, MCP_VERSION_MAX);
	return RC_INVALID;
}

/* --- header values ------------------------------------------------------------------- */

static const char *skip_blank(const char *s)
{
	return s + strspn(s, " \t");
}

/* The length of s without the white space at its end. */
static size_t trimmed_len(const char *s)
{
	size_t len = strlen(s);

	while (len > 0 && (s[len - 1] == ' ' || s[len - 1] == '\t'))
		len--;
	return len;
}

static bool header_is(const char *header, const char *value)
{
	const char *start = skip_blank(header);

	return trimmed_len(start) == strlen(value) && !strncmp(start, value, strlen(value));
}

enum rc mcp_header_value(const char *header, char *dst, size_t cap)
{
	static const char open[] = "=?base64?", close[] = "?=";
	const size_t open_len = sizeof(open) - 1, close_len = sizeof(close) - 1;
	const char *start = skip_blank(header);
	size_t len = trimmed_len(start), got;

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)start[i];

		if ((c < 0x20 && c != '\t') || c >= 0x7f)
			return RC_INVALID;
	}
	if (len < open_len + close_len || strncmp(start, open, open_len) != 0 ||
		strncmp(start + len - close_len, close, close_len) != 0)
		return str_copy_len(dst, cap, start, len) ? RC_OK : RC_INVALID;
	if (cap == 0 ||
		text_unb64(start + open_len, len - open_len - close_len, (uint8_t *)dst, cap - 1,
			&got) != RC_OK ||
		memchr(dst, '\0', got) || !text_utf8_ok(dst, got))
		return RC_INVALID;
	dst[got] = '\0';
	return RC_OK;
}

/* "application/json", perhaps with a charset, which can only be UTF-8. */
static bool content_type_ok(const char *header)
{
	static const char json[] = "application/json";
	const char *p;

	if (!header)
		return false;
	p = skip_blank(header);
	if (strncasecmp(p, json, sizeof(json) - 1) != 0)
		return false;
	p = skip_blank(p + sizeof(json) - 1);
	if (*p == '\0')
		return true;
	if (*p != ';')
		return false;
	p = skip_blank(p + 1);
	if (strncasecmp(p, "charset=", 8) != 0)
		return !strchr(p, ',');
	p += 8;
	return !strncasecmp(p, "utf-8", 5) || !strncasecmp(p, "\"utf-8\"", 7);
}

/* One element of Accept: a range that takes JSON, and not with q=0. */
static bool range_takes_json(const char *p, size_t len)
{
	static const char *const ranges[] = {"application/json", "application/*", "*/*"};
	size_t name = 0;
	const char *q;

	while (name < len && p[name] != ';' && p[name] != ' ' && p[name] != '\t')
		name++;
	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
		if (strlen(ranges[i]) != name || strncasecmp(p, ranges[i], name) != 0)
			continue;
		q = memmem(p + name, len - name, "q=0", 3);
		if (!q)
			return true;
		/* q=0, q=0.0 and so on, but not q=0.5 */
		for (q += 3; q < p + len && (*q == '.' || *q == '0'); q++)
			;
		return q < p + len && *q >= '1' && *q <= '9';
	}
	return false;
}

static bool accept_ok(const char *header)
{
	const char *p = header;

	if (!p || !*skip_blank(p))
		return true;
	while (*p) {
		size_t len;

		p += strspn(p, " \t,");
		len = strcspn(p, ",");
		if (range_takes_json(p, len))
			return true;
		p += len;
	}
	return false;
}

/* --- the message --------------------------------------------------------------------- */

static bool id_ok(struct jscan id)
{
	int64_t n;

	return id.kind == JSCAN_STRING ? id.len <= ID_TEXT_MAX + 2
				       : id.kind == JSCAN_NUMBER && jscan_int(id, &n) == RC_OK;
}

/* A member that may be absent, but not there twice: what we check must be what the worker reads. */
static enum rc member(struct jscan v, const char *name, struct jscan *out)
{
	return jscan_get(v, name, out) == RC_CONFLICT ? RC_INVALID : RC_OK;
}

struct parts {
	struct jscan version, id, method, params, result, error;
};

static enum rc take_parts(struct jscan message, struct parts *p)
{
	if (member(message, "jsonrpc", &p->version) != RC_OK ||
		member(message, "id", &p->id) != RC_OK ||
		member(message, "method", &p->method) != RC_OK ||
		member(message, "params", &p->params) != RC_OK ||
		member(message, "result", &p->result) != RC_OK ||
		member(message, "error", &p->error) != RC_OK)
		return RC_INVALID;
	return RC_OK;
}

/* What kind of JSON-RPC message it is, and its plain members. */
static enum rc read_message(struct jscan message, struct mcp_request *out, struct mcp_error *why)
{
	struct parts p;

	*out = (struct mcp_request){.message = message};
	if (message.kind != JSCAN_OBJECT)
		return refuse_shape(why, "A message is a JSON object.");
	if (take_parts(message, &p) != RC_OK)
		return refuse_shape(why, "A member of the message is there twice.");
	if (p.id.kind != JSCAN_NONE && id_ok(p.id))
		out->id = p.id;
	if (!jscan_is_str(p.version, "2.0"))
		return refuse_shape(why, "jsonrpc must be \"2.0\".");
	if (p.id.kind != JSCAN_NONE && out->id.kind == JSCAN_NONE)
		return refuse_shape(why, "id must be a string or an integer.");
	if (p.method.kind == JSCAN_NONE) {
		if (out->id.kind == JSCAN_NONE ||
			(p.result.kind == JSCAN_NONE) == (p.error.kind == JSCAN_NONE))
			return refuse_shape(
				why, "The message is no request, notification or response.");
		out->kind = MCP_RESPONSE;
		return RC_OK;
	}
	if (p.result.kind != JSCAN_NONE || p.error.kind != JSCAN_NONE)
		return refuse_shape(why, "A message can't be both a request and a response.");
	if (jscan_str(p.method, out->method, sizeof(out->method)) != RC_OK || !*out->method)
		return refuse_shape(why, "method must be a string of 1 to 127 bytes.");
	if (p.params.kind != JSCAN_NONE && p.params.kind != JSCAN_OBJECT)
		return refuse_shape(why, "params must be an object.");
	out->params = p.params;
	out->kind = out->id.kind == JSCAN_NONE ? MCP_NOTIFICATION : MCP_REQUEST;
	return RC_OK;
}

/* --- eras ------------------------------------------------------------------------------- */

static const char *const legacy_versions[] = {MCP_LEGACY_NEWEST, "2025-06-18", MCP_LEGACY_ASSUMED};

bool mcp_request_legacy_version(const char *version)
{
	for (size_t i = 0; i < sizeof(legacy_versions) / sizeof(legacy_versions[0]); i++)
		if (header_is(version, legacy_versions[i]))
			return true;
	return false;
}

static bool is_legacy_claim(struct jscan claim)
{
	for (size_t i = 0; i < sizeof(legacy_versions) / sizeof(legacy_versions[0]); i++)
		if (jscan_is_str(claim, legacy_versions[i]))
			return true;
	return false;
}

/* The members of _meta that a modern request must have. */
struct envelope {
	struct jscan version, capabilities, client;
	bool twice;
};

static struct envelope envelope_of(struct jscan params)
{
	struct envelope e = {0};
	struct jscan meta = {NULL, 0, JSCAN_NONE};

	e.twice = member(params, "_meta", &meta) != RC_OK ||
		member(meta, META_PREFIX "protocolVersion", &e.version) != RC_OK ||
		member(meta, META_PREFIX "clientCapabilities", &e.capabilities) != RC_OK ||
		member(meta, META_PREFIX "clientInfo", &e.client) != RC_OK;
	return e;
}

static enum rc check_envelope(const struct envelope *e, struct mcp_error *why)
{
	(void)refuse(why, 400, MCP_INVALID_PARAMS, "Invalid params");
	why->detail = NULL;
	if (e->version.kind != JSCAN_STRING)
		why->detail = "_meta must have the string " META_PREFIX "protocolVersion.";
	else if (e->capabilities.kind != JSCAN_OBJECT)
		why->detail = "_meta must have the object " META_PREFIX "clientCapabilities.";
	else if (e->client.kind != JSCAN_NONE && e->client.kind != JSCAN_OBJECT)
		why->detail = META_PREFIX "clientInfo in _meta must be an object.";
	return why->detail ? RC_INVALID : RC_OK;
}

/* Which member of params the Mcp-Name header repeats, or NULL. */
static const char *name_source(const char *method)
{
	static const struct {
		const char *method, *member;
	} sources[] = {{"tools/call", "name"}, {"prompts/get", "name"}, {"resources/read", "uri"},
		{"tasks/get", "taskId"}, {"tasks/update", "taskId"}, {"tasks/cancel", "taskId"}};

	for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++)
		if (!strcmp(method, sources[i].method))
			return sources[i].member;
	return NULL;
}

static enum rc check_name_header(
	const struct mcp_headers *h, const struct mcp_request *m, struct mcp_error *why)
{
	const char *source = name_source(m->method);
	char text[HEADER_VALUE_MAX + 1];
	struct jscan value;

	if (!source)
		return RC_OK;
	if (member(m->params, source, &value) != RC_OK)
		return refuse_shape(why, "A member of params is there twice.");
	if (value.kind != JSCAN_STRING)
		return RC_OK; /* nothing to repeat: whoever answers says what is missing */
	if (!h->name)
		return refuse_header(why, "Header mismatch: the Mcp-Name header is missing");
	if (mcp_header_value(h->name, text, sizeof(text)) != RC_OK)
		return refuse_header(
			why, "Header mismatch: the Mcp-Name header is not well-formed");
	if (!jscan_is_str(value, text) || (h->name_repeated && !strchr(text, ',')))
		return refuse_header(why, "Header mismatch: Mcp-Name differs from the body");
	return RC_OK;
}

/* Header and _meta name the same version, or one of them none. */
static bool versions_agree(const struct mcp_headers *h, const struct envelope *e)
{
	char claim[MCP_VERSION_MAX + 1];

	return !h->version || e->version.kind == JSCAN_NONE ||
		(jscan_str(e->version, claim, sizeof(claim)) == RC_OK &&
			header_is(h->version, claim));
}

static enum rc refuse_disagreement(struct mcp_error *why)
{
	return refuse_header(why, "Header mismatch: MCP-Protocol-Version differs from _meta");
}

static enum rc check_modern_request(const struct mcp_headers *h, const struct envelope *e,
	const struct mcp_request *m, struct mcp_error *why)
{
	char version[MCP_VERSION_MAX + 1];

	if (check_envelope(e, why) != RC_OK)
		return RC_INVALID;
	if (!h->version)
		return refuse_header(
			why, "Header mismatch: the MCP-Protocol-Version header is missing");
	if (!versions_agree(h, e) || jscan_str(e->version, version, sizeof(version)) != RC_OK)
		return refuse_disagreement(why);
	if (strcmp(version, MCP_MODERN_VERSION) != 0)
		return refuse_version(why, version);
	if (!h->method)
		return refuse_header(why, "Header mismatch: the Mcp-Method header is missing");
	if (!header_is(h->method, m->method))
		return refuse_header(why, "Header mismatch: Mcp-Method differs from the body");
	return check_name_header(h, m, why);
}

static enum rc check_modern(const struct mcp_headers *h, const struct envelope *e,
	const struct mcp_request *m, struct mcp_error *why)
{
	switch (m->kind) {
	case MCP_REQUEST:
		return check_modern_request(h, e, m, why);
	case MCP_RESPONSE:
		return refuse_shape(why, "In this version clients send no responses.");
	case MCP_NOTIFICATION:
		if (!versions_agree(h, e))
			return refuse_disagreement(why);
		if (h->method && !header_is(h->method, m->method))
			return refuse_header(
				why, "Header mismatch: Mcp-Method differs from the body");
		return RC_OK;
	case MCP_BATCH:
		break;
	}
	return RC_OK;
}

static enum rc check_legacy(
	const struct mcp_headers *h, const struct envelope *e, struct mcp_error *why)
{
	if (h->version && !mcp_request_legacy_version(h->version))
		return refuse_version(why, skip_blank(h->version));
	return versions_agree(h, e) ? RC_OK : refuse_disagreement(why);
}

/* --- who answers -------------------------------------------------------------------------- */

/* Methods of the other era. */
static bool is_gone(enum mcp_era era, const char *method)
{
	static const char *const not_modern[] = {"initialize", "ping", "logging/setLevel",
		"resources/subscribe", "resources/unsubscribe"};
	static const char *const not_legacy[] = {"server/discover", "subscriptions/listen"};
	const char *const *list = era == MCP_MODERN ? not_modern : not_legacy;
	size_t count = era == MCP_MODERN ? sizeof(not_modern) / sizeof(not_modern[0])
					 : sizeof(not_legacy) / sizeof(not_legacy[0]);

	for (size_t i = 0; i < count; i++)
		if (!strcmp(method, list[i]))
			return true;
	return false;
}

static enum rc read_tool_call(struct mcp_request *m, struct mcp_error *why)
{
	struct jscan name;

	if (member(m->params, "name", &name) != RC_OK ||
		member(m->params, "arguments", &m->arguments) != RC_OK)
		return refuse_shape(why, "A member of params is there twice.");
	/* Bad input to a tool is answered in band: 200. */
	(void)refuse(why, 200, MCP_INVALID_PARAMS, "Invalid params");
	if (name.kind != JSCAN_STRING) {
		why->detail = "params.name must be the name of a tool.";
		return RC_INVALID;
	}
	if (m->arguments.kind != JSCAN_NONE && m->arguments.kind != JSCAN_OBJECT) {
		why->detail = "params.arguments must be an object.";
		return RC_INVALID;
	}
	if (jscan_str(name, m->tool, sizeof(m->tool)) != RC_OK || !manifest_tool_ok(m->tool)) {
		m->tool[0] = '\0';
		why->message = "Unknown tool";
		return RC_INVALID;
	}
	return RC_OK;
}

static enum rc read_list(const struct mcp_request *m, struct mcp_error *why)
{
	struct jscan cursor;

	/* The list is one page, so no cursor can be ours. */
	if (jscan_get(m->params, "cursor", &cursor) == RC_NOTFOUND)
		return RC_OK;
	return refuse(why, 200, MCP_INVALID_PARAMS, "Invalid cursor");
}

static enum rc choose_action(struct mcp_request *m, struct mcp_error *why)
{
	if (is_gone(m->era, m->method))
		return refuse(why, m->era == MCP_MODERN ? 404 : 200, MCP_METHOD_NOT_FOUND,
			"Method not found");
	m->action = MCP_DO_RELAY;
	if (!strcmp(m->method, "tools/call")) {
		m->action = MCP_DO_CALL_TOOL;
		return read_tool_call(m, why);
	}
	if (!strcmp(m->method, "tools/list")) {
		m->action = MCP_DO_LIST_TOOLS;
		return read_list(m, why);
	}
	if (!strcmp(m->method, "initialize"))
		m->action = MCP_DO_INITIALIZE;
	else if (!strcmp(m->method, "ping"))
		m->action = MCP_DO_PING;
	else if (!strcmp(m->method, "server/discover"))
		m->action = MCP_DO_DISCOVER;
	else if (!strcmp(m->method, "subscriptions/listen"))
		m->action = MCP_DO_LISTEN;
	return RC_OK;
}

/* --- the whole ------------------------------------------------------------------------------ */

static enum rc read_single(
	const struct mcp_headers *h, struct mcp_request *out, struct mcp_error *why)
{
	struct envelope e = envelope_of(out->params);
	bool claims = e.version.kind != JSCAN_NONE && !is_legacy_claim(e.version);
	enum rc rc;

	if (e.twice)
		return refuse_shape(why, "A member of _meta is there twice.");
	out->era = claims || (h->version && header_is(h->version, MCP_MODERN_VERSION)) ? MCP_MODERN
										       : MCP_LEGACY;
	rc = out->era == MCP_MODERN ? check_modern(h, &e, out, why) : check_legacy(h, &e, why);
	if (rc != RC_OK || out->kind != MCP_REQUEST)
		return rc;
	return choose_action(out, why);
}

static enum rc read_batch(const struct mcp_headers *h, struct jscan array, struct mcp_request *out,
	struct mcp_error *why)
{
	struct jscan_iter it = jscan_iter(array);
	struct jscan key, value, params;
	int count = 0;

	if (h->version && !header_is(h->version, MCP_LEGACY_ASSUMED))
		return refuse_shape(why, "Only version " MCP_LEGACY_ASSUMED " has batches.");
	while (jscan_next(&it, &key, &value)) {
		struct envelope e;

		if (++count > MCP_BATCH_MAX)
			return refuse_shape(why, "A batch holds at most 50 messages.");
		(void)jscan_get(value, "params", &params);
		e = envelope_of(params);
		if (e.version.kind != JSCAN_NONE || e.twice)
			return refuse_shape(
				why, "A batch can't hold messages of a version without batches.");
	}
	if (count == 0)
		return refuse_shape(why, "The batch is empty.");
	*out = (struct mcp_request){.kind = MCP_BATCH, .era = MCP_LEGACY, .message = array};
	return RC_OK;
}

enum rc mcp_request_read(const struct mcp_headers *h, const void *body, size_t len,
	struct mcp_request *out, struct mcp_error *why)
{
	struct jscan message;

	*out = (struct mcp_request){.kind = MCP_REQUEST};
	if (!content_type_ok(h->content_type))
		return refuse_plain(
			why, PROBLEM_UNSUPPORTED_MEDIA, "Send Content-Type: application/json.");
	if (!accept_ok(h->accept))
		return refuse_plain(why, PROBLEM_NOT_ACCEPTABLE,
			"Send Accept: application/json, text/event-stream.");
	if (jscan_parse(body, len, &message) != RC_OK) {
		(void)refuse(why, 400, MCP_PARSE_ERROR, "Parse error");
		why->problem = PROBLEM_INVALID_JSON;
		return RC_INVALID;
	}
	if (message.kind == JSCAN_ARRAY)
		return read_batch(h, message, out, why);
	if (read_message(message, out, why) != RC_OK)
		return RC_INVALID;
	return read_single(h, out, why);
}

enum rc mcp_request_element(struct jscan element, struct mcp_request *out, struct mcp_error *why)
{
	if (read_message(element, out, why) != RC_OK)
		return RC_INVALID;
	if (out->kind != MCP_REQUEST)
		return RC_OK;
	if (!strcmp(out->method, "initialize"))
		return refuse_shape(why, "initialize can't be part of a batch.");
	return choose_action(out, why);
}

int mcp_result_status(enum mcp_era era, const void *payload, size_t len)
{
	struct jscan answer, code;
	int64_t n;

	/* Errors are short: a long answer, or one without the word, is not worth reading. */
	if (era != MCP_MODERN || len > ERROR_ANSWER_MAX || !memmem(payload, len, "\"error\"", 7) ||
		jscan_parse(payload, len, &answer) != RC_OK ||
		jscan_path(answer, &code, "error", "code", NULL) != RC_OK ||
		jscan_int(code, &n) != RC_OK)
		return 200;
	switch (n) {
	case MCP_METHOD_NOT_FOUND:
		return 404;
	case MCP_PARSE_ERROR:
	case MCP_INVALID_REQUEST:
	case MCP_HEADER_MISMATCH:
	case MCP_MISSING_CAPABILITY:
	case MCP_UNSUPPORTED_VERSION:
		return 400;
	default:
		return 200;
	}
}
