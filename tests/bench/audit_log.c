/* Writes an audit log of about so many megabytes, as a control plane that is busy with calls does;
 * its worker vouches for them. Prints its public key. usage: audit_log FILE MEGABYTES */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/audit_form.h"
#include "shared/audit_vouch.h"
#include "shared/log.h"
#include "shared/mem.h"
#include "shared/text.h"
#include "tests/bench/call_row.h"

#define ROWS_A_CHECKPOINT 1000
#define RESULTS_A_STATEMENT 256
#define START_MS 1795468000000

static void fill(struct audit_record *r, int64_t seq)
{
	call_row(r);
	(void)snprintf(
		r->request_id, sizeof(r->request_id), "req_%016llx", (unsigned long long)seq);
	r->latency_ms = seq % 50;
	r->bytes_in = 200 + seq % 100;
	r->bytes_out = 1000 + seq % 1000;
}

/* The worker's side. */
struct vouching {
	struct crypto_identity worker;
	struct audit_tally tally;
	int64_t n;
};

static void vouch(struct vouching *w, struct audit_record *r, int64_t seq)
{
	uint8_t hash[CRYPTO_HASH_LEN], leaf[CRYPTO_HASH_LEN];
	struct audit_vouched v = {.n = ++w->n,
		.call_id = r->call_id,
		.request_id = r->request_id,
		.key_id = r->key_id,
		.method = r->method,
		.tool = r->tool,
		.outcome = r->outcome,
		.result_sha256 = hash};

	(void)snprintf(r->call_id, sizeof(r->call_id), "c_%026llx", (unsigned long long)seq);
	crypto_sha256(&seq, sizeof(seq), hash);
	text_hex(hash, sizeof(hash), r->result_sha256);
	r->vouch = v.n;
	audit_vouch_leaf(&v, leaf);
	audit_tally_add(&w->tally, leaf);
}

static void state(struct vouching *w, struct audit_record *r)
{
	char digest[AUDIT_HASH_LEN + 1], key[TEXT_B64_LEN(CRYPTO_PUBLIC_LEN) + 1],
		b64[TEXT_B64_LEN(CRYPTO_SIG_LEN) + 1];
	uint8_t sig[CRYPTO_SIG_LEN];
	struct audit_vouch v = {.worker_id = "w_5f2c9d7a4be81035",
		.session_id = "s_5f2c9d7a4be81035",
		.first = w->n - w->tally.rows + 1,
		.last = w->n,
		.digest = w->tally.digest};

	audit_vouch_sign(&v, &w->worker, sig);
	text_hex(w->tally.digest, sizeof(w->tally.digest), digest);
	text_b64(w->worker.public_key, CRYPTO_PUBLIC_LEN, key);
	text_b64(sig, sizeof(sig), b64);
	audit_init(r, "worker.vouch");
	(void)str_copy(r->session_id, sizeof(r->session_id), v.session_id);
	(void)str_copy(r->worker_id, sizeof(r->worker_id), v.worker_id);
	(void)snprintf(r->change, sizeof(r->change),
		"{\"first\":%lld,\"last\":%lld,\"digest\":\"%s\",\"key\":\"%s\",\"sig\":\"%s\"}",
		(long long)v.first, (long long)v.last, digest, key, b64);
	w->tally = (struct audit_tally){0};
}

int main(int argc, char *argv[])
{
	char prev[AUDIT_HASH_LEN + 1], pem[256];
	struct crypto_identity id;
	struct audit_tally tally = {0};
	struct vouching w = {0};
	struct audit_record r;
	uint8_t hash[CRYPTO_HASH_LEN];
	struct buf b;
	size_t bytes = 0, wanted;
	FILE *out;

	if (argc != 3)
		die("usage: audit_log FILE MEGABYTES");
	wanted = (size_t)strtoul(argv[2], NULL, 10) * 1000000;
	crypto_init();
	crypto_identity_new(&id);
	crypto_identity_new(&w.worker);
	out = fopen(argv[1], "w");
	if (!out)
		die("can't write %s", argv[1]);
	memset(prev, '0', AUDIT_HASH_LEN);
	prev[AUDIT_HASH_LEN] = '\0';
	buf_init(&b, AUDIT_LINE_MAX);
	for (int64_t seq = 1; bytes < wanted || seq % ROWS_A_CHECKPOINT != 1; seq++) {
		buf_reset(&b);
		if (seq % ROWS_A_CHECKPOINT != 0 && w.tally.rows == RESULTS_A_STATEMENT) {
			state(&w, &r);
		} else if (seq % ROWS_A_CHECKPOINT != 0) {
			fill(&r, seq);
			vouch(&w, &r, seq);
		}
		if (seq % ROWS_A_CHECKPOINT == 0)
			audit_checkpoint_line(&b, &id, seq, START_MS + seq, prev, &tally);
		else
			audit_line(&b, &r, seq, START_MS + seq, prev);
		crypto_sha256(b.data, b.len, hash);
		text_hex(hash, sizeof(hash), prev);
		if (seq % ROWS_A_CHECKPOINT == 0)
			tally = (struct audit_tally){0};
		else
			audit_tally_add(&tally, hash);
		buf_char(&b, '\n');
		bytes += fwrite(b.data, 1, b.len, out);
	}
	if (fclose(out) != 0 || crypto_public_pem(id.public_key, pem, sizeof(pem)) != RC_OK)
		die("can't write %s", argv[1]);
	(void)fputs(pem, stdout);
	buf_free(&b);
	return EXIT_SUCCESS;
}
