tmp/b-cli/obj/tunneld/relay.o: tunneld/relay.c tunneld/relay.h \
 shared/msg.h shared/buf.h shared/rc.h shared/crypto.h shared/jscan.h \
 shared/problem.h tunneld/call.h tunneld/audit_writer.h shared/audit.h \
 shared/config.h shared/log.h tunneld/deadline.h tunneld/map.h \
 tunneld/outcome.h tunneld/registry.h shared/clientip.h tunneld/catalog.h \
 tunneld/hub.h shared/db.h tunneld/metrics.h shared/handshake.h \
 tunneld/rate.h tunneld/state_writer.h shared/store.h shared/clock.h \
 shared/dispatch.h shared/mem.h shared/sidecar.h tunneld/tunnel.h
tunneld/relay.h:
shared/msg.h:
shared/buf.h:
shared/rc.h:
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
shared/clock.h:
shared/dispatch.h:
shared/mem.h:
shared/sidecar.h:
tunneld/tunnel.h:
