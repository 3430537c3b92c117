#include "worker/secretenv.h"

#include <stdlib.h>
#include <string.h>

#include "shared/mem.h"

char *secretenv_take(const char *name)
{
	char *value = getenv(name);

	if (value == NULL)
		return NULL;
	char *copy = *value != '\0' ? xstrdup(value) : NULL;
	/* The kernel shows the very memory that the value lies in. */
	mem_wipe(value, strlen(value));
	(void)unsetenv(name);
	return copy;
}
