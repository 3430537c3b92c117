#include <stdlib.h>
#include <string.h>

#include "shared/apikey.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1), id[65];
	const char *secret;

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	if (apikey_split("alk", text, id, &secret) == RC_OK && (strlen(id) < 1 || strlen(secret) < 16))
		abort();
	free(text);
	return 0;
}
