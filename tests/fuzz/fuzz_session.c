#include <stdlib.h>
#include <string.h>

#include "shared/session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	struct session_claims claims;

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	/* Nobody can sign with this secret by chance. */
	if (session_check("0123456789abcdef0123456789abcdef", text, 0, &claims) == RC_OK)
		abort();
	free(text);
	return 0;
}
