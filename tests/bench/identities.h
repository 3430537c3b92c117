/* identities: the file in which seed.c leaves the workers that it enrolled for tunnels.c: an array
 * of struct seeded. Both are of the same build, on the same machine, in one run. */
#ifndef BENCH_IDENTITIES_H
#define BENCH_IDENTITIES_H

#include "shared/crypto.h"

struct seeded {
	char worker_id[80], tenant_id[80];
	struct crypto_identity identity;
};

#endif
