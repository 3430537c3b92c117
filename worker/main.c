/* airlock-worker: the process in the customer's network that holds the database credentials and
 * answers agents' tool calls from masked snapshots. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "shared/crypto.h"
#include "shared/log.h"
#include "worker/duckdb_helper.h"
#include "worker/enroll.h"
#include "worker/inspect.h"
#include "worker/run.h"

#define USAGE_STATUS 2
#define CONFIG_DEFAULT "airlock.yaml"

static const char usage[] =
	"Usage: airlock-worker enroll --url URL [options]   enroll this worker with a control "
	"plane\n"
	"       airlock-worker run [options]                connect, and answer tool calls\n"
	"       airlock-worker init [options]               propose an airlock.yaml for a "
	"database\n"
	"       airlock-worker check [options]              say whether airlock.yaml is right, and "
	"what\n"
	"                                                   a snapshot holds and masks\n"
	"\n"
	"Options of all:\n"
	"  -c, --config FILE      the worker's configuration (default: airlock.yaml)\n"
	"  -v, --verbose          log more\n"
	"  -q, --quiet            log warnings and errors alone\n"
	"  -h, --help             show this\n"
	"  -V, --version          show the version\n"
	"Options of enroll and run:\n"
	"      --allow-insecure   speak to another machine without TLS; for trials only\n"
	"Options of enroll:\n"
	"  -u, --url URL          the control plane's public URL\n"
	"  -n, --name NAME        what the operator sees (default: worker.name of the file)\n"
	"      --token-file FILE  read the enrollment token from there\n"
	"      --force            enroll anew, with a new key, although enrolled already\n"
	"Options of init:\n"
	"      --root TABLE       the table of subjects (default: guessed)\n"
	"  -o, --output FILE      a new file (default: standard output)\n"
	"Options of check:\n"
	"      --subject ID       count this subject's rows\n"
	"\n"
	"Environment:\n"
	"  DATABASE_URL              run, init, check: the database; it is read from nowhere else\n"
	"  AIRLOCK_ENROLLMENT_TOKEN  enroll: the one-time token; without it and without\n"
	"                            --token-file it is read from standard input\n";

enum { OPT_TOKEN_FILE = 256, OPT_FORCE, OPT_ALLOW_INSECURE, OPT_ROOT, OPT_SUBJECT };

static const struct option options[] = {
	{"config", required_argument, NULL, 'c'},
	{"url", required_argument, NULL, 'u'},
	{"name", required_argument, NULL, 'n'},
	{"token-file", required_argument, NULL, OPT_TOKEN_FILE},
	{"force", no_argument, NULL, OPT_FORCE},
	{"allow-insecure", no_argument, NULL, OPT_ALLOW_INSECURE},
	{"root", required_argument, NULL, OPT_ROOT},
	{"output", required_argument, NULL, 'o'},
	{"subject", required_argument, NULL, OPT_SUBJECT},
	{"verbose", no_argument, NULL, 'v'},
	{"quiet", no_argument, NULL, 'q'},
	{"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, 'V'},
	{NULL, 0, NULL, 0},
};

static int wrong_usage(const char *what)
{
	(void)fprintf(stderr, "airlock-worker: %s\nTry `airlock-worker --help`.\n", what);
	return USAGE_STATUS;
}

/* Either -1, or the status to exit with. */
static int read_options(int argc, char *argv[], struct enroll_options *enroll,
	struct run_options *run, struct inspect_options *inspect)
{
	int c;

	enroll->config_path = run->config_path = inspect->config_path = CONFIG_DEFAULT;
	while ((c = getopt_long(argc, argv, "c:u:n:o:vqhV", options, NULL)) != -1) {
		switch (c) {
		case 'c':
			enroll->config_path = run->config_path = inspect->config_path = optarg;
			break;
		case 'u':
			enroll->url = optarg;
			break;
		case 'n':
			enroll->name = optarg;
			break;
		case OPT_TOKEN_FILE:
			enroll->token_file = optarg;
			break;
		case OPT_FORCE:
			enroll->force = true;
			break;
		case OPT_ALLOW_INSECURE:
			enroll->allow_insecure = run->allow_insecure = true;
			break;
		case OPT_ROOT:
			inspect->root = optarg;
			break;
		case 'o':
			inspect->output = optarg;
			break;
		case OPT_SUBJECT:
			inspect->subject = optarg;
			break;
		case 'v':
			log_set_level(LOG_LEVEL_DEBUG);
			break;
		case 'q':
			log_set_level(LOG_LEVEL_WARN);
			break;
		case 'h':
			(void)fputs(usage, stdout);
			return 0;
		case 'V':
			(void)puts("airlock-worker " AIRLOCK_VERSION);
			return 0;
		default:
			return wrong_usage("that option is not known, or lacks its value");
		}
	}
	return -1;
}

int main(int argc, char *argv[])
{
	struct enroll_options enroll = {0};
	struct run_options run = {0};
	struct inspect_options inspect = {0};

	if (argc == 2 && strcmp(argv[1], DUCKDB_HELPER_COMMAND) == 0)
		return duckdb_helper_run();
	log_init("airlock-worker", 2, LOG_FORMAT_TEXT);
	int status = read_options(argc, argv, &enroll, &run, &inspect);
	if (status >= 0)
		return status;
	if (argc - optind != 1)
		return wrong_usage("say one of: init, check, enroll, run");
	crypto_init();

	const char *command = argv[optind];
	if (strcmp(command, "enroll") == 0)
		return enroll.url != NULL ? worker_enroll(&enroll)
					  : wrong_usage("enroll needs --url");
	if (strcmp(command, "run") == 0)
		return worker_run(&run);
	if (strcmp(command, "init") == 0)
		return inspect_init(&inspect);
	if (strcmp(command, "check") == 0)
		return inspect_check(&inspect);
	return wrong_usage("say one of: init, check, enroll, run");
}
