/* admin_handlers: the operator's endpoints, one function a route (routes.c). The guard has been
 * passed; for those that write, the journal was writable a moment ago. */
#ifndef FCGI_APP_ADMIN_HANDLERS_H
#define FCGI_APP_ADMIN_HANDLERS_H

#include "fcgi-app/http.h"

/* --- admin_session.c --------------------------------------------------------------------- */
/* Checks the operator token of the body itself. */
void admin_session_create(struct request *rq);
void admin_session_get(struct request *rq);
/* Forgets the cookie; nobody needs to be signed in for that. */
void admin_session_delete(struct request *rq);

/* --- admin_tenants.c --------------------------------------------------------------------- */
void admin_tenants_list(struct request *rq);
void admin_tenants_create(struct request *rq);
void admin_tenants_get(struct request *rq);
void admin_tenants_change(struct request *rq);
void admin_tenants_delete(struct request *rq);

/* --- admin_keys.c ------------------------------------------------------------------------ */
void admin_keys_list(struct request *rq);
void admin_keys_create(struct request *rq);
void admin_keys_revoke(struct request *rq);

/* --- admin_enrollments.c ----------------------------------------------------------------- */
void admin_enrollments_list(struct request *rq);
void admin_enrollments_create(struct request *rq);
void admin_enrollments_revoke(struct request *rq);

/* --- admin_workers.c --------------------------------------------------------------------- */
void admin_workers_list(struct request *rq);
void admin_workers_revoke(struct request *rq);

/* --- admin_tools.c ----------------------------------------------------------------------- */
void admin_tools_list(struct request *rq);
/* One tool with its whole definition, and the pinned one. */
void admin_tools_show(struct request *rq);
/* One, or all that are listed. */
void admin_tools_pin(struct request *rq);
void admin_tools_unpin(struct request *rq);

/* --- admin_snapshots.c ------------------------------------------------------------------- */
void admin_snapshots_list(struct request *rq);

/* --- admin_audit.c, admin_audit_export.c, admin_audit_verify.c, admin_audit_stream.c --------- */
void admin_audit_list(struct request *rq);
void admin_audit_export(struct request *rq);
void admin_audit_verify(struct request *rq);
void admin_audit_stream(struct request *rq);

#endif
