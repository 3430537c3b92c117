tmp/b-cli/obj/tunneld/dispatch_server.o: tunneld/dispatch_server.c \
 tunneld/dispatch_server.h shared/msg.h shared/buf.h shared/rc.h \
 shared/crypto.h shared/jscan.h tunneld/hub.h shared/config.h \
 shared/log.h shared/db.h tunneld/audit_writer.h shared/audit.h \
 tunneld/call.h tunneld/deadline.h tunneld/map.h tunneld/outcome.h \
 shared/problem.h tunneld/registry.h shared/clientip.h tunneld/catalog.h \
 tunneld/metrics.h shared/handshake.h tunneld/rate.h \
 tunneld/state_writer.h shared/store.h shared/clock.h shared/mem.h \
 tunneld/dispatch_conn.h tunneld/relay.h
tunneld/dispatch_server.h:
shared/msg.h:
shared/buf.h:
shared/rc.h:
shared/crypto.h:
shared/jscan.h:
tunneld/hub.h:
shared/config.h:
shared/log.h:
shared/db.h:
tunneld/audit_writer.h:
shared/audit.h:
tunneld/call.h:
tunneld/deadline.h:
tunneld/map.h:
tunneld/outcome.h:
shared/problem.h:
tunneld/registry.h:
shared/clientip.h:
tunneld/catalog.h:
tunneld/metrics.h:
shared/handshake.h:
tunneld/rate.h:
tunneld/state_writer.h:
shared/store.h:
shared/clock.h:
shared/mem.h:
tunneld/dispatch_conn.h:
tunneld/relay.h:
