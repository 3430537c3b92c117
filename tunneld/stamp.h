/* stamp: signs the stamps of bundles of the audit log (shared/audit_stamp.h), which other processes
 * make without the control plane's key. What is signed has the form of a stamp, and never another
 * meaning; the time is our own; and a stamp behind a row that was never written is none. */
#ifndef TUNNELD_STAMP_H
#define TUNNELD_STAMP_H

#include <stdbool.h>
#include <stdint.h>

#include "shared/audit_form.h"
#include "shared/msg.h"
#include "tunneld/hub.h"

/* A STAMP message (shared/dispatch.h). False: it is malformed, or about rows that there are not.
 * out gets ts, key and sig. */
bool stamp_sign(
	const struct hub *hub, const struct msg *m, int64_t wall_ms, struct audit_stamp *out);

#endif
