tmp/b-cli/obj/tunneld/hub.o: tunneld/hub.c tunneld/hub.h shared/config.h \
 shared/buf.h shared/rc.h shared/log.h shared/crypto.h shared/db.h \
 tunneld/audit_writer.h shared/audit.h shared/jscan.h tunneld/call.h \
 tunneld/deadline.h tunneld/map.h tunneld/outcome.h shared/problem.h \
 tunneld/registry.h shared/clientip.h tunneld/catalog.h tunneld/metrics.h \
 shared/handshake.h shared/msg.h tunneld/rate.h tunneld/state_writer.h \
 shared/store.h shared/clock.h tunneld/relay.h tunneld/tunnel.h
tunneld/hub.h:
shared/config.h:
shared/buf.h:
shared/rc.h:
shared/log.h:
shared/crypto.h:
shared/db.h:
tunneld/audit_writer.h:
shared/audit.h:
shared/jscan.h:
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
shared/msg.h:
tunneld/rate.h:
tunneld/state_writer.h:
shared/store.h:
shared/clock.h:
tunneld/relay.h:
tunneld/tunnel.h:
