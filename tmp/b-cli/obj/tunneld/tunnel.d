tmp/b-cli/obj/tunneld/tunnel.o: tunneld/tunnel.c tunneld/tunnel.h \
 shared/handshake.h shared/buf.h shared/rc.h shared/crypto.h shared/msg.h \
 shared/jscan.h tunneld/hub.h shared/config.h shared/log.h shared/db.h \
 tunneld/audit_writer.h shared/audit.h tunneld/call.h tunneld/deadline.h \
 tunneld/map.h tunneld/outcome.h shared/problem.h tunneld/registry.h \
 shared/clientip.h tunneld/catalog.h tunneld/metrics.h tunneld/rate.h \
 tunneld/state_writer.h shared/store.h shared/clock.h shared/mem.h \
 shared/sidecar.h tunneld/greeting.h tunneld/relay.h
tunneld/tunnel.h:
shared/handshake.h:
shared/buf.h:
shared/rc.h:
shared/crypto.h:
shared/msg.h:
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
tunneld/rate.h:
tunneld/state_writer.h:
shared/store.h:
shared/clock.h:
shared/mem.h:
shared/sidecar.h:
tunneld/greeting.h:
tunneld/relay.h:
