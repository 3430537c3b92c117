/* fds: the limit on open files, and how it is shared out. At its limit libwebsockets would stop
 * accepting everywhere, on the metrics port too, and the dispatch socket could not be served. */
#ifndef TUNNELD_FDS_H
#define TUNNELD_FDS_H

#include <stddef.h>

#include "shared/config.h"

/* Raises the limit as far as is needed and allowed. How many tunnel connections there may be:
 * tunnel.max_connections, or what the limit leaves beside the dispatch connections and a reserve
 * (then a warning is logged). */
size_t fds_for_tunnels(const struct config *c, size_t dispatch_connections);

#endif
