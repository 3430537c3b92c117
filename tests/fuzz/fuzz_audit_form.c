/* One line of an audit log, in each of the forms that it can have, and the first line and the
 * stamps of a bundle. What is left of a row, and a stamp, has one spelling: written again it is the
 * same. */
#include <stdlib.h>
#include <string.h>

#include "shared/audit_bundle.h"
#include "shared/audit_form.h"
#include "shared/audit_stamp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void same_again(const char *line, size_t len, const struct audit_form *form)
{
	struct buf b;

	buf_init(&b, 4096);
	audit_form_hash_line(&b, form->kind, form->seq, form->hash, form->prev);
	if (b.failed || b.len != len || memcmp(b.data, line, len) != 0)
		abort();
	buf_free(&b);
}

static void read_stamp(const char *line, size_t len)
{
	struct audit_stamp stamp, none = {.runs = "", .runs_len = 0};
	struct audit_form form;
	int64_t row;
	char a, b;

	if (!audit_stamp_read(line, len, &stamp))
		return;
	if (!audit_form_read(line, len, &form) || form.kind != AUDIT_FORM_STAMP ||
		form.seq != stamp.seq)
		abort();
	(void)audit_stamp_good(&stamp);
	if (audit_stamp_differs(&stamp, &none, &row, &a, &b) != (stamp.runs_len > 0) ||
		audit_stamp_differs(&stamp, &stamp, &row, &a, &b))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* Of its own length, so that a step behind its end is found. */
	char *line = malloc(size + !size);
	struct audit_bundle_header header;
	struct audit_checkpoint checkpoint;
	struct audit_form form;
	struct audit_seal seal;
	int64_t seq, ms;

	if (!line)
		return 0;
	if (size > 0)
		memcpy(line, data, size);
	if (audit_form_read(line, size, &form) &&
		(form.kind == AUDIT_FORM_EXPIRED || form.kind == AUDIT_FORM_WITHHELD))
		same_again(line, size, &form);
	if (audit_line_head(line, size, &seq, &ms) && seq < 1)
		abort();
	if (audit_checkpoint_read(line, size, &checkpoint)) {
		if (!audit_checkpoint_is(line, size))
			abort();
		(void)audit_checkpoint_good(&checkpoint);
	}
	if (audit_seal_read(line, size, &seal))
		(void)audit_seal_good(&seal);
	read_stamp(line, size);
	if (audit_bundle_header_read(line, size, &header) != RC_OK) {
		if (!*header.why || strpbrk(header.why, "\n\r\033"))
			abort();
	} else if (!audit_bundle_is(line, size) || header.from < 1 || header.first < header.from ||
		header.last < header.first) {
		abort();
	}
	free(line);
	return 0;
}
