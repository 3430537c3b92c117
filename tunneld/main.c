/* airlock-tunneld: holds the workers' tunnels, the calls in flight and the audit journal. */
#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "shared/config.h"
#include "shared/crypto.h"
#include "shared/firstboot.h"
#include "shared/log.h"
#include "tunneld/loop.h"

static const char usage[] =
	"Usage: airlock-tunneld [-t] [--help] [--version]\n"
	"Holds the tunnels of the workers, relays calls to them and writes the audit journal.\n"
	"\n"
	"  -t, --test   check the environment and config.yaml, then exit\n"
	"  --help       show this text\n"
	"  --version    show the version\n"
	"\n"
	"Everything else comes from the environment (AIRLOCK_CP_*) and config.yaml; see "
	"airlock-tunneld(8).\n";

/* True when only the configuration is to be checked. Exits for --help, --version and what it does
 * not know. */
static bool read_flags(int argc, char *argv[])
{
	static const struct option options[] = {{"test", no_argument, NULL, 't'},
		{"help", no_argument, NULL, 'h'}, {"version", no_argument, NULL, 'v'},
		{NULL, 0, NULL, 0}};
	bool test = false;

	for (int flag; (flag = getopt_long(argc, argv, "t", options, NULL)) != -1;) {
		switch (flag) {
		case 't':
			test = true;
			break;
		case 'h':
			(void)fputs(usage, stdout);
			exit(EXIT_SUCCESS);
		case 'v':
			(void)puts("airlock-tunneld " AIRLOCK_VERSION);
			exit(EXIT_SUCCESS);
		default:
			(void)fputs(usage, stderr);
			exit(2);
		}
	}
	if (optind < argc) {
		(void)fputs(usage, stderr);
		exit(2);
	}
	return test;
}

static void ignore(int signal_number)
{
	const struct sigaction action = {.sa_handler = SIG_IGN};

	(void)sigaction(signal_number, &action, NULL);
}

int main(int argc, char *argv[])
{
	const struct config *config;
	struct crypto_identity identity;
	struct loop *loop = NULL;
	bool test = read_flags(argc, argv);

	log_init("airlock-tunneld", 1, LOG_FORMAT_JSON);
	config = config_open();
	if (test) {
		log_info("the configuration is good");
		return EXIT_SUCCESS;
	}
	crypto_init();
	ignore(SIGPIPE);
	/* A journal at its size limit is a journal that can't be written, not the end. */
	ignore(SIGXFSZ);
	firstboot(config, &identity);
	if (loop_open(config, &identity, &loop) != RC_OK)
		die("airlock-tunneld %s does not start; the lines above say why", AIRLOCK_VERSION);
	log_info("airlock-tunneld %s is ready", AIRLOCK_VERSION);
	loop_run(loop);
	loop_close(loop);
	crypto_identity_wipe(&identity);
	log_info("airlock-tunneld ended");
	return EXIT_SUCCESS;
}
