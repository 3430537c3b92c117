/* local: the two commands that work on the state volume itself, with the daemons' environment. */
#include <stdio.h>
#include <stdlib.h>

#include "cli/api.h"
#include "shared/config.h"
#include "shared/crypto.h"
#include "shared/db.h"
#include "shared/file.h"
#include "shared/firstboot.h"
#include "shared/store.h"

#define STATE_YAML_MAX ((size_t)256 * 1024 * 1024)

enum status cmd_init(const struct args *args)
{
	const struct config *c = config_open();
	struct crypto_identity id;
	char pem[256];
	json_t *paths;

	firstboot(c, &id);
	if (crypto_public_pem(id.public_key, pem, sizeof(pem)) != RC_OK)
		pem[0] = '\0';
	crypto_identity_wipe(&id);
	paths = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "config", c->config_path, "state",
		c->state_path, "private_key", c->cp_private_key_path, "audit_log",
		c->audit_log_path, "snapshots", c->snapshot_dir, "run_dir", c->run_dir,
		"public_key", pem);
	if (!paths) {
		fprintf(stderr, "airlockctl: a path is not valid UTF-8\n");
		return STATUS_REFUSED;
	}
	return api_show_object(args, paths, "config");
}

static enum status write_out(const char *path, struct buf *yaml)
{
	if (!path) {
		api_out(yaml);
		return STATUS_OK;
	}
	if (file_write_atomic(path, yaml->data, yaml->len, 0600) == RC_OK)
		return STATUS_OK;
	fprintf(stderr, "airlockctl: can't write %s\n", path);
	return STATUS_REFUSED;
}

enum status cmd_state_export(const struct args *args)
{
	const struct config *c = config_open();
	enum status status = STATUS_REFUSED;
	struct db *db = NULL;
	struct buf yaml;

	buf_init(&yaml, STATE_YAML_MAX);
	if (db_open(c->state_path, &db) != RC_OK || state_export(db, &yaml) != RC_OK || yaml.failed)
		fprintf(stderr, "airlockctl: can't read the state in %s\n", c->state_path);
	else
		status = write_out(args->value[ARG_OUT], &yaml);
	buf_free(&yaml);
	db_close(db);
	return status;
}
