/* clientip: who is really calling, given what the front says and which fronts are trusted. Pure. */
#ifndef SHARED_CLIENTIP_H
#define SHARED_CLIENTIP_H

#include <stdbool.h>

#define CLIENTIP_MAX 46

/* cidr is "10.0.0.0/8", "::1/128" or a bare address. False when either is malformed. */
bool clientip_in(const char *address, const char *cidr);
bool clientip_cidr_ok(const char *cidr);
/* peer is the TCP peer's address, or "" / "unix:" for a Unix socket (always trusted: it is the
 * front). forwarded_for is the X-Forwarded-For header or NULL. When the peer is trusted the answer
 * is the rightmost address in it that is not itself trusted; malformed entries end the search. out
 * gets "" only when nothing is known. */
void clientip_resolve(const char *peer, const char *forwarded_for, char *const *trusted,
	int trusted_count, char out[CLIENTIP_MAX]);

#endif
