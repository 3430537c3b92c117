/* airlockctl: the operator's and the agent author's command line. */
#include <stdio.h>

#include "cli/commands.h"
#include "shared/crypto.h"
#include "shared/log.h"

int main(int argc, char *argv[])
{
	enum status status;

	log_init("airlockctl", 2, LOG_FORMAT_TEXT);
	log_set_level(LOG_LEVEL_WARN);
	crypto_init();
	status = command_main(argc, argv);
	if (fflush(stdout) != 0) {
		perror("airlockctl: standard output");
		return STATUS_REFUSED;
	}
	return (int)status;
}
