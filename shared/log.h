/* log: structured lines. One JSON object a line: ts, level, program, msg and the
 * thread's context (request_id, tenant_id, peer). Never a secret, SQL, arguments or rows:
 * the caller sees to that; control characters are escaped here. Not the audit journal. */
#ifndef SHARED_LOG_H
#define SHARED_LOG_H

#include "shared/rc.h"

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };
enum log_format { LOG_FORMAT_JSON, LOG_FORMAT_TEXT };

/* program is borrowed for ever; fd is where lines go (1 for the daemons, 2 for
 * the command line tools). One write() a line, so lines of several processes do not mix. */
void log_init(const char *program, int fd, enum log_format format);
/* Safe from any thread. */
void log_set_level(enum log_level level);
/* DEBUG, INFO, WARNING (or WARN), ERROR, CRITICAL in any case; RC_INVALID otherwise. */
enum rc log_level_parse(const char *name, enum log_level *out) MUST_CHECK;

/* This thread's context. Values are copied; NULL leaves the field out. */
void log_context(const char *request_id, const char *tenant_id, const char *peer);

/* errno is preserved. */
void log_debug(const char *fmt, ...) PRINTF_LIKE(1, 2);
void log_info(const char *fmt, ...) PRINTF_LIKE(1, 2);
void log_warn(const char *fmt, ...) PRINTF_LIKE(1, 2);
void log_err(const char *fmt, ...) PRINTF_LIKE(1, 2);
/* Start-up only: logs at error level and exits with status 1. */
void die(const char *fmt, ...) PRINTF_LIKE(1, 2) __attribute__((noreturn));

#endif
