/* rc: the result codes of every fallible function. A code exists only because
 * some caller acts differently on it. RC_INTERNAL means "already logged". */
#ifndef SHARED_RC_H
#define SHARED_RC_H

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))

enum rc {
	RC_OK = 0,
	RC_INVALID, /* what the caller or peer gave is malformed or out of range */
	RC_NOTFOUND, /* no such thing, or not for this caller */
	RC_CONFLICT, /* taken already, or changed meanwhile */
	RC_DENIED, /* known, and not allowed */
	RC_LIMIT, /* a configured bound was reached */
	RC_UNAVAILABLE, /* a part we depend on can't be reached or written now */
	RC_INTERNAL, /* our fault or the machine's; logged where it happened */
};

/* A short constant name such as "not_found", for logs. */
const char *rc_name(enum rc rc);

#endif
