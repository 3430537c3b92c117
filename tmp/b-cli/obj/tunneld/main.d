tmp/b-cli/obj/tunneld/main.o: tunneld/main.c shared/config.h shared/buf.h \
 shared/rc.h shared/log.h shared/crypto.h shared/firstboot.h shared/db.h \
 tunneld/dispatch_server.h shared/msg.h shared/jscan.h tunneld/hub.h \
 tunneld/audit_writer.h shared/audit.h tunneld/call.h tunneld/deadline.h \
 tunneld/map.h tunneld/outcome.h shared/problem.h tunneld/registry.h \
 shared/clientip.h tunneld/catalog.h tunneld/metrics.h shared/handshake.h \
 tunneld/rate.h tunneld/state_writer.h shared/store.h tunneld/loop.h
shared/config.h:
shared/buf.h:
shared/rc.h:
shared/log.h:
shared/crypto.h:
shared/firstboot.h:
shared/db.h:
tunneld/dispatch_server.h:
shared/msg.h:
shared/jscan.h:
tunneld/hub.h:
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
tunneld/loop.h:
