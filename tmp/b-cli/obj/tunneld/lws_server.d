tmp/b-cli/obj/tunneld/lws_server.o: tunneld/lws_server.c \
 tunneld/lws_server.h shared/rc.h tunneld/hub.h shared/config.h \
 shared/buf.h shared/log.h shared/crypto.h shared/db.h \
 tunneld/audit_writer.h shared/audit.h shared/jscan.h tunneld/call.h \
 tunneld/deadline.h tunneld/map.h tunneld/outcome.h shared/problem.h \
 tunneld/registry.h shared/clientip.h tunneld/catalog.h tunneld/metrics.h \
 shared/handshake.h shared/msg.h tunneld/rate.h tunneld/state_writer.h \
 shared/store.h tunneld/lws_metrics.h tunneld/lws_tunnel.h
tunneld/lws_server.h:
shared/rc.h:
tunneld/hub.h:
shared/config.h:
shared/buf.h:
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
tunneld/lws_metrics.h:
tunneld/lws_tunnel.h:
