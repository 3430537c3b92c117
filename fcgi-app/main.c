#include <stdio.h>
#include <string.h>

#include "fcgi-app/pool.h"
#include "shared/clock.h"
#include "shared/firstboot.h"
#include "shared/log.h"

static const char usage[] =
	"Usage: airlock-fcgi-app [-t]\n"
	"Serves the Airlock control plane's HTTP API to a web server over FastCGI, on the socket "
	"fcgi.sock in\n"
	"server.run_dir. Configured by the environment and config.yaml; see airlock-fcgi-app(8).\n"
	"\n"
	"  -t         check the configuration and exit\n"
	"  --version  print the version and exit\n"
	"  --help     print this and exit\n";

/* False: said what was asked for, *status is the exit status. */
static bool flags(int argc, char **argv, bool *check, int *status)
{
	*status = 0;
	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "-t")) {
			*check = true;
		} else if (!strcmp(argv[i], "--version")) {
			(void)puts("airlock-fcgi-app " AIRLOCK_VERSION);
			return false;
		} else if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
			(void)fputs(usage, stdout);
			return false;
		} else {
			(void)fprintf(stderr, "airlock-fcgi-app: unknown option '%s'\n%s", argv[i],
				usage);
			*status = 2;
			return false;
		}
	}
	return true;
}

int main(int argc, char **argv)
{
	struct crypto_identity identity;
	struct app app = {0};
	bool check = false;
	int status;

	if (!flags(argc, argv, &check, &status))
		return status;
	log_init("airlock-fcgi-app", 1, LOG_FORMAT_JSON);
	crypto_init();
	app.config = config_open();
	if (check) {
		(void)printf("%s: the configuration is valid\n", app.config->config_path);
		return 0;
	}
	if (config_socket_path(app.config, "dispatch.sock", app.dispatch_path) != RC_OK)
		die("server.run_dir is too long for a socket's path: %s", app.config->run_dir);
	firstboot(app.config, &identity);
	memcpy(app.cp_public_key, identity.public_key, sizeof(app.cp_public_key));
	/* Only the tunnel daemon signs. */
	crypto_identity_wipe(&identity);
	app.started_at = clock_wall_s();
	return pool_run(&app);
}
