#include "tunneld/fds.h"

#include <sys/resource.h>

#include "shared/log.h"

/* Files of our own: databases, journal, listeners, event loop, scrapes of the metrics, and what
 * comes and goes. */
#define RESERVE 128

size_t fds_for_tunnels(const struct config *c, size_t dispatch_connections)
{
	rlim_t others = (rlim_t)dispatch_connections + (rlim_t)c->audit_streams +
		(rlim_t)c->streams + RESERVE;
	rlim_t wanted = (rlim_t)c->max_connections + others;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return (size_t)c->max_connections;
	if (limit.rlim_cur < wanted) {
		rlim_t before = limit.rlim_cur;

		limit.rlim_cur = limit.rlim_max > wanted ? wanted : limit.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
			limit.rlim_cur = before;
	}
	if (limit.rlim_cur >= wanted)
		return (size_t)c->max_connections;
	/* At least a few, whatever the limit: running out is then met where files are opened. */
	wanted = limit.rlim_cur > 2 * others ? limit.rlim_cur - others : limit.rlim_cur / 2;
	log_warn("the limit of %llu open files leaves room for %llu tunnels, "
		 "tunnel.max_connections is %d: raise the limit "
		 "or lower the setting",
		(unsigned long long)limit.rlim_cur, (unsigned long long)wanted, c->max_connections);
	return (size_t)wanted;
}
