/* The masks: any bytes as a value of the database. Nothing may crash; text stays text; a masked
 * value is never the raw one, where a mask promises that. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "shared/text.h"
#include "worker/known.h"
#include "worker/mask.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct mask_spec spec_of(uint8_t choice)
{
	struct mask_spec s = mask_spec_default((enum mask_kind)(choice % MASK_KINDS));

	if (s.kind == MASK_BUCKET && choice & 0x80)
		s.to = (enum mask_unit)(UNIT_DAY + choice / MASK_KINDS % 5);
	else if (s.kind == MASK_BUCKET)
		s.size = 1.0 + (choice >> 4);
	s.last = 1 + choice / 32;
	return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t secret[MASK_SECRET_LEN] = {1};
	struct mask_spec spec;
	struct mask_run run;
	struct value in, out;
	struct known *known;
	struct mask m;
	struct buf room;

	if (size < 2)
		return 0;
	spec = spec_of(data[0]);
	/* The beginning is known from another column. */
	in = value_text((const char *)data + 2, size - 2);
	known = known_new(1000);
	known_add(known, &(struct value){.kind = VALUE_TEXT, .p = in.p, .len = in.len / 2});
	mask_init(&m, secret);
	mask_run_init(&run, &m, &in);
	run.known = known_needles(known);
	run.words_key = known_key(known);
	buf_init(&room, MASK_ROOM_MAX);
	if (data[1] & 1)
		in.kind = VALUE_BLOB;
	mask_value(&run, &spec, &in, &room, &out);
	if (spec.kind == MASK_HASH && (out.kind != VALUE_TEXT || out.len != MASK_HASH_LEN))
		abort();
	if (out.kind == VALUE_TEXT && text_utf8_ok(in.p, in.len) && !text_utf8_ok(out.p, out.len))
		abort();
	if ((spec.kind == MASK_REDACT || spec.kind == MASK_EMAIL || spec.kind == MASK_PARTIAL) &&
		in.len > 26 && out.len == in.len && memcmp(out.p, in.p, in.len) == 0)
		abort();
	buf_free(&room);
	mask_run_free(&run);
	known_free(known);
	return 0;
}
