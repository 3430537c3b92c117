/* lws_audit: the socket from which the front fetches streams of the audit log (audit_stream.h): GET
 * /.airlock/audit/<ticket>, and nothing else. Who holds a ticket has been let in already. */
#ifndef TUNNELD_LWS_AUDIT_H
#define TUNNELD_LWS_AUDIT_H

struct lws_protocols;

/* The protocols of the streams' vhost. The context's user pointer must be the struct hub. */
const struct lws_protocols *lws_audit_protocols(void);

#endif
