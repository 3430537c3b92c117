tmp/b-cli/obj/tunneld/lws_tunnel.o: tunneld/lws_tunnel.c \
 tunneld/lws_tunnel.h shared/clientip.h shared/clock.h shared/rc.h \
 shared/log.h shared/mem.h tunneld/tunnel.h shared/handshake.h \
 shared/buf.h shared/crypto.h shared/msg.h shared/jscan.h tunneld/hub.h \
 shared/config.h shared/db.h tunneld/audit_writer.h shared/audit.h \
 tunneld/call.h tunneld/deadline.h tunneld/map.h tunneld/outcome.h \
 shared/problem.h tunneld/registry.h tunneld/catalog.h tunneld/metrics.h \
 tunneld/rate.h tunneld/state_writer.h shared/store.h
tunneld/lws_tunnel.h:
shared/clientip.h:
shared/clock.h:
shared/rc.h:
shared/log.h:
shared/mem.h:
tunneld/tunnel.h:
shared/handshake.h:
shared/buf.h:
shared/crypto.h:
shared/msg.h:
shared/jscan.h:
tunneld/hub.h:
shared/config.h:
shared/db.h:
tunneld/audit_writer.h:
shared/audit.h:
tunneld/call.h:
tunneld/deadline.h:
tunneld/map.h:
tunneld/outcome.h:
shared/problem.h:
tunneld/registry.h:
tunneld/catalog.h:
tunneld/metrics.h:
tunneld/rate.h:
tunneld/state_writer.h:
shared/store.h:
