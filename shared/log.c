#include "shared/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/clock.h"
#include "shared/text.h"

#define LINE_MAX_BYTES 4096
#define CONTEXT_MAX 80
/* What may still follow a message: three context fields, quotes, brace, newline. */
#define TAIL_MAX (3 * (CONTEXT_MAX + 20) + 8)

static struct {
	const char *program;
	int fd;
	enum log_format format;
	atomic_int level;
} logger = {"airlock", STDERR_FILENO, LOG_FORMAT_TEXT, LOG_LEVEL_INFO};

static _Thread_local struct {
	char request_id[CONTEXT_MAX + 1];
	char tenant_id[CONTEXT_MAX + 1];
	char peer[CONTEXT_MAX + 1];
} context;

void log_init(const char *program, int fd, enum log_format format)
{
	logger.program = program;
	logger.fd = fd;
	logger.format = format;
}

void log_set_level(enum log_level level)
{
	atomic_store_explicit(&logger.level, (int)level, memory_order_relaxed);
}

enum rc log_level_parse(const char *name, enum log_level *out)
{
	static const struct {
		const char *name;
		enum log_level level;
	} names[] = {
		{"DEBUG", LOG_LEVEL_DEBUG},
		{"INFO", LOG_LEVEL_INFO},
		{"WARNING", LOG_LEVEL_WARN},
		{"WARN", LOG_LEVEL_WARN},
		{"ERROR", LOG_LEVEL_ERROR},
		{"CRITICAL", LOG_LEVEL_ERROR},
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (text_equal_nocase(name, names[i].name)) {
			*out = names[i].level;
			return RC_OK;
		}
	}
	return RC_INVALID;
}

/* Keeps what is safe inside a JSON string as it is, so that a line needs no second escaping. */
static void context_set(char dst[CONTEXT_MAX + 1], const char *value)
{
	size_t i = 0;

	for (; value && value[i] && i < CONTEXT_MAX; i++) {
		char c = value[i];

		dst[i] = c < 0x20 || c >= 0x7F || c == '"' || c == '\\' ? '?' : c;
	}
	dst[i] = '\0';
}

void log_context(const char *request_id, const char *tenant_id, const char *peer)
{
	context_set(context.request_id, request_id);
	context_set(context.tenant_id, tenant_id);
	context_set(context.peer, peer);
}

struct line {
	char text[LINE_MAX_BYTES];
	size_t len;
	size_t limit;
};

static void put(struct line *l, const char *s, size_t len)
{
	if (len > l->limit - l->len)
		len = l->limit - l->len;
	memcpy(l->text + l->len, s, len);
	l->len += len;
}

static void put_str(struct line *l, const char *s)
{
	put(l, s, strlen(s));
}

/* One character of a message, whole or not at all. False when the line is full. */
static bool put_escaped(struct line *l, const char *s, size_t step)
{
	unsigned char c = (unsigned char)*s;
	char small[8];

	if (step == 0) {
		s = "\xEF\xBF\xBD";
		step = 3;
	} else if (c < 0x20 || c == 0x7F) {
		int n = snprintf(small, sizeof(small),
			logger.format == LOG_FORMAT_JSON ? "\\u%04x" : "\\x%02x", c);

		s = small;
		step = (size_t)n;
	} else if (logger.format == LOG_FORMAT_JSON && (c == '"' || c == '\\')) {
		small[0] = '\\';
		small[1] = (char)c;
		s = small;
		step = 2;
	}
	if (step > l->limit - l->len)
		return false;
	put(l, s, step);
	return true;
}

static void put_message(struct line *l, const char *msg)
{
	size_t len = strlen(msg);
	size_t limit = l->limit;

	l->limit = limit - TAIL_MAX - 3;
	while (len) {
		size_t step = text_utf8_len(msg, len);

		if (!put_escaped(l, msg, step)) {
			l->limit = limit;
			put_str(l, "...");
			break;
		}
		msg += step ? step : 1;
		len -= step ? step : 1;
	}
	l->limit = limit;
}

static void put_field(struct line *l, const char *name, const char *value)
{
	if (!*value)
		return;
	put_str(l, ",\"");
	put_str(l, name);
	put_str(l, "\":\"");
	put_str(l, value);
	put_str(l, "\"");
}

static void write_line(const struct line *l)
{
	size_t done = 0;

	while (done < l->len) {
		ssize_t n = write(logger.fd, l->text + done, l->len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return; /* nowhere to say so */
		done += (size_t)n;
	}
}

static void log_line(enum log_level level, const char *msg)
{
	static const char *const names[] = {"debug", "info", "warning", "error"};
	char ts[CLOCK_TEXT_LEN + 1];
	struct line l;

	l.len = 0;
	l.limit = sizeof(l.text);
	if (logger.format == LOG_FORMAT_TEXT) {
		put_str(&l, logger.program);
		put_str(&l, ": ");
		put_message(&l, msg);
	} else {
		clock_text(clock_wall_ms(), ts);
		put_str(&l, "{\"ts\":\"");
		put_str(&l, ts);
		put_str(&l, "\",\"level\":\"");
		put_str(&l, names[level]);
		put_str(&l, "\",\"program\":\"");
		put_str(&l, logger.program);
		put_str(&l, "\",\"msg\":\"");
		put_message(&l, msg);
		put_str(&l, "\"");
		put_field(&l, "request_id", context.request_id);
		put_field(&l, "tenant_id", context.tenant_id);
		put_field(&l, "peer", context.peer);
		put_str(&l, "}");
	}
	put_str(&l, "\n");
	write_line(&l);
}

static void log_va(enum log_level level, const char *fmt, va_list ap)
{
	int saved = errno;
	char msg[LINE_MAX_BYTES];

	if (vsnprintf(msg, sizeof(msg), fmt, ap) >= 0)
		log_line(level, msg);
	errno = saved;
}

static bool wanted(enum log_level level)
{
	return (int)level >= atomic_load_explicit(&logger.level, memory_order_relaxed);
}

#define LOG_FUNCTION(function, level)       \
	void function(const char *fmt, ...) \
	{                                   \
		va_list ap;                 \
                                            \
		if (!wanted(level))         \
			return;             \
		va_start(ap, fmt);          \
		log_va(level, fmt, ap);     \
		va_end(ap);                 \
	}

LOG_FUNCTION(log_debug, LOG_LEVEL_DEBUG)
LOG_FUNCTION(log_info, LOG_LEVEL_INFO)
LOG_FUNCTION(log_warn, LOG_LEVEL_WARN)
LOG_FUNCTION(log_err, LOG_LEVEL_ERROR)

void die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_va(LOG_LEVEL_ERROR, fmt, ap);
	va_end(ap);
	exit(1);
}
