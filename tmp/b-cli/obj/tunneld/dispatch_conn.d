tmp/b-cli/obj/tunneld/dispatch_conn.o: tunneld/dispatch_conn.c \
 tunneld/dispatch_conn.h shared/buf.h shared/rc.h tunneld/relay.h \
 shared/msg.h shared/crypto.h shared/jscan.h shared/problem.h \
 tunneld/call.h tunneld/audit_writer.h shared/audit.h shared/config.h \
 shared/log.h tunneld/deadline.h tunneld/map.h tunneld/outcome.h \
 tunneld/registry.h shared/clientip.h tunneld/catalog.h tunneld/hub.h \
 shared/db.h tunneld/metrics.h shared/handshake.h tunneld/rate.h \
 tunneld/state_writer.h shared/store.h shared/mem.h \
 tunneld/dispatch_server.h
tunneld/dispatch_conn.h:
shared/buf.h:
shared/rc.h:
tunneld/relay.h:
shared/msg.h:
shared/crypto.h:
shared/jscan.h:
shared/problem.h:
tunneld/call.h:
tunneld/audit_writer.h:
shared/audit.h:
shared/config.h:
shared/log.h:
tunneld/deadline.h:
tunneld/map.h:
tunneld/outcome.h:
tunneld/registry.h:
shared/clientip.h:
tunneld/catalog.h:
tunneld/hub.h:
shared/db.h:
tunneld/metrics.h:
shared/handshake.h:
tunneld/rate.h:
tunneld/state_writer.h:
shared/store.h:
shared/mem.h:
tunneld/dispatch_server.h:
