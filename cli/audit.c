/* audit: the commands about the audit log. Verifying is offline: files and a public key. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/api.h"
#include "cli/audit_verify.h"
#include "shared/clock.h"
#include "shared/config.h"
#include "shared/crypto.h"
#include "shared/mem.h"
#include "shared/text.h"

static enum status cannot(const char *path, const char *why)
{
	fprintf(stderr, "airlockctl: %s: %s\n", path, why);
	return STATUS_USAGE;
}

/* --expect SEQ:HASH */
static bool read_expect(const char *text, struct audit_chain_options *o)
{
	const char *colon = strchr(text, ':');
	char seq[20];

	return colon && str_copy_len(seq, sizeof(seq), text, (size_t)(colon - text)) &&
		args_count(seq, INT64_MAX, &o->expect_seq) == RC_OK && o->expect_seq > 0 &&
		strlen(colon + 1) == AUDIT_HASH_LEN &&
		text_unhex(colon + 1, o->expect_hash, sizeof(o->expect_hash)) == RC_OK;
}

static enum status read_options(const struct args *args, struct audit_chain_options *o)
{
	const char *pem = args->value[ARG_PUBLIC_KEY], *from = args->value[ARG_FROM];
	const char *expect = args->value[ARG_EXPECT];

	o->first_seq = 1;
	if (expect && !read_expect(expect, o)) {
		fprintf(stderr,
			"airlockctl: --expect is SEQ:HASH, the hash 64 hexadecimal digits\n");
		return STATUS_USAGE;
	}
	if (from && (args_count(from, INT64_MAX, &o->first_seq) != RC_OK || o->first_seq == 0)) {
		fprintf(stderr, "airlockctl: --from is the number of a row\n");
		return STATUS_USAGE;
	}
	if (pem && crypto_public_load(pem, o->key) != RC_OK)
		return cannot(pem, "this is no Ed25519 public key in PEM, or it can't be read");
	o->have_key = pem != NULL;
	return STATUS_OK;
}

/* The log of this machine's state volume, and the key that it is signed with. */
static enum status own_log(const char **path, struct audit_chain_options *o)
{
	const struct config *c = config_open();
	struct crypto_identity id;

	*path = c->audit_log_path;
	if (o->have_key)
		return STATUS_OK;
	if (crypto_identity_load(c->cp_private_key_path, &id) != RC_OK)
		return cannot(c->cp_private_key_path, "the control plane's key can't be read");
	memcpy(o->key, id.public_key, sizeof(o->key));
	crypto_identity_wipe(&id);
	o->have_key = true;
	return STATUS_OK;
}

/* Behind the last checkpoint: chained, but nothing vouches for them yet. */
static int64_t unsigned_rows(const struct audit_chain *c)
{
	return c->seq - (c->signed_seq > 0 ? c->signed_seq : c->o.first_seq - 1);
}

/* The head is what to keep elsewhere and to give to --expect next time. */
static enum status show_json(const struct audit_verify *v, const char *key, const char *hash)
{
	const struct audit_chain *c = &v->chain;
	bool good = c->fault == AUDIT_FAULT_NONE;
	json_t *j = json_pack("{s:b, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:s}", "ok",
		good, "bundle", v->bundle, "first_seq", (json_int_t)c->o.first_seq, "seq",
		(json_int_t)c->seq, "checkpoints", (json_int_t)c->checkpoints, "signed_seq",
		(json_int_t)c->signed_seq, "unsigned_rows", (json_int_t)unsigned_rows(c), "bytes",
		(json_int_t)v->bytes, "expired", (json_int_t)c->expired, "withheld",
		(json_int_t)c->withheld, "signed_ts", c->signed_ts, "key", key);
	struct buf text;

	if (j && good)
		(void)json_object_set_new(j, "vouched",
			json_pack("{s:I, s:I, s:I, s:I, s:I}", "calls",
				(json_int_t)c->vouch_counts.vouched, "unsigned",
				(json_int_t)c->vouch_counts.unsigned_results, "unknown",
				(json_int_t)c->vouch_counts.unknown, "workers",
				(json_int_t)c->vouch_counts.workers, "unenrolled",
				(json_int_t)c->vouch_counts.unenrolled));
	if (j && good)
		(void)json_object_set_new(j, "hash", json_string(hash));
	if (j && good)
		(void)json_object_set_new(
			j, "end_proved", json_boolean(audit_verify_end_proved(v)));
	if (j && !good) {
		(void)json_object_set_new(j, "fault", json_string(audit_fault_name(c->fault)));
		(void)json_object_set_new(j, "file", json_string(v->file));
		(void)json_object_set_new(j, "line", json_integer((json_int_t)v->line));
		(void)json_object_set_new(j, "detail", json_string(c->why));
	}
	buf_init(&text, 65536);
	print_json(&text, j);
	api_out(&text);
	buf_free(&text);
	json_decref(j);
	return good ? STATUS_OK : STATUS_REFUSED;
}

/* What workers say about the calls, beside what the control plane says. */
static void show_vouched(const struct audit_chain *c)
{
	const struct audit_vouches_count *n = &c->vouch_counts;

	if (n->workers > 0)
		printf("vouched: %lld calls as %lld workers signed them, %lld without a signature, "
		       "%lld that can't be told\n",
			(long long)n->vouched, (long long)n->workers,
			(long long)n->unsigned_results, (long long)n->unknown);
	if (n->unenrolled > 0)
		fprintf(stderr,
			"airlockctl: the enrollment of %lld of these workers is not in this log: "
			"compare their keys\n",
			(long long)n->unenrolled);
}

static enum status show_text(
	const struct audit_verify *v, const char *key, const char *hash, int64_t took_ms)
{
	const struct audit_chain *c = &v->chain;
	struct buf proof;

	if (c->fault) {
		printf("%s:%lld: %s\n", v->file, (long long)v->line, c->why);
		return STATUS_REFUSED;
	}
	printf("good: rows %lld to %lld, %lld checkpoints, %.1f MB in %.2f s\n",
		(long long)c->o.first_seq, (long long)c->seq, (long long)c->checkpoints,
		(double)v->bytes / 1e6, (double)took_ms / 1e3);
	if (c->expired + c->withheld > 0)
		printf("of %lld rows only the hash is there: %lld have expired, %lld are "
		       "withheld\n",
			(long long)c->expired + (long long)c->withheld, (long long)c->expired,
			(long long)c->withheld);
	if (c->signed_seq > 0)
		printf("signed: up to row %lld, %s, key %s\n", (long long)c->signed_seq,
			c->signed_ts, key);
	show_vouched(c);
	printf("head: %lld:%s\n", (long long)c->seq, hash);
	buf_init(&proof, 1024);
	audit_verify_proof(v, &proof);
	buf_char(&proof, '\n');
	api_out(&proof);
	return STATUS_OK;
}

/* --file of a directory names the log in it. False: it is none. */
static bool names_log(const char *path, char log[PATH_MAX])
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode) &&
		snprintf(log, PATH_MAX, "%s/audit.jsonl", path) < PATH_MAX;
}

/* log: what is checked when no files are named. */
static enum status verify(const struct args *args, const char *log,
	const struct audit_chain_options *o, struct audit_files *f, struct audit_verify *v)
{
	enum audit_verify_part part =
		args->value[ARG_FROM] ? AUDIT_VERIFY_FROM : AUDIT_VERIFY_WHOLE;
	const char **paths = xcalloc((size_t)args->many_count + 1, sizeof(*paths));
	char inside[PATH_MAX];
	size_t count = 0;
	enum rc rc;

	for (int i = 0; i < args->many_count; i++)
		if (args->many[i].option == ARG_FILE)
			paths[count++] = args->many[i].value;
	if (count == 1 && names_log(paths[0], inside))
		log = inside;
	if (log)
		rc = audit_verify_log(log, part, o, f, v);
	else
		rc = audit_verify(paths, count, o, v);
	free(paths);
	return rc == RC_OK ? STATUS_OK : cannot(v->file, strerror(errno));
}

enum status cmd_audit_verify(const struct args *args)
{
	char key[TEXT_B64_LEN(CRYPTO_PUBLIC_LEN) + 1] = "", hash[AUDIT_HASH_LEN + 1];
	struct audit_files f = {0};
	struct audit_chain_options o = {0};
	enum status status = read_options(args, &o);
	int64_t began = clock_mono_ms();
	struct audit_verify v;
	const char *log = NULL;

	if (status == STATUS_OK && !args_has(args, ARG_FILE))
		status = own_log(&log, &o);
	if (status == STATUS_OK)
		status = verify(args, log, &o, &f, &v);
	if (status == STATUS_OK) {
		text_hex(v.chain.hash, sizeof(v.chain.hash), hash);
		if (v.chain.o.have_key)
			text_b64(v.chain.o.key, sizeof(v.chain.o.key), key);
		if (!o.have_key && v.chain.checkpoints > 0)
			fprintf(stderr,
				"airlockctl: without --public-key the log vouches for itself: "
				"compare the key with the control plane's\n");
		status = args_has(args, ARG_JSON)
			? show_json(&v, key, hash)
			: show_text(&v, key, hash, clock_mono_ms() - began);
	}
	audit_files_close(&f);
	return status;
}
