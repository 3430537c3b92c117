/* X-Forwarded-For and CIDRs: any text. An answer is always an address that reads as one. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "shared/clientip.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char *const trusted[] = {"127.0.0.0/8", "::1/128", "10.0.0.0/8"};
	char *text = malloc(size + 1);
	char out[CLIENTIP_MAX];

	if (!text)
		return 0;
	if (size)
		memcpy(text, data, size);
	text[size] = '\0';
	clientip_resolve("127.0.0.1", text, trusted, 3, out);
	if (!clientip_cidr_ok(out) || strchr(out, '/'))
		abort(); /* the peer itself, at least */
	clientip_resolve("unix:", text, trusted, 3, out);
	if (out[0] && !clientip_cidr_ok(out))
		abort();
	clientip_resolve(text, "203.0.113.9", trusted, 3, out);
	if (clientip_cidr_ok(text) && !strchr(text, '/') && !clientip_in(text, text))
		abort();
	(void)clientip_in("10.1.2.3", text);
	free(text);
	return 0;
}
