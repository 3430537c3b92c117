tmp/b-cli/obj/tunneld/metrics.o: tunneld/metrics.c tunneld/metrics.h \
 shared/buf.h shared/rc.h shared/handshake.h shared/crypto.h shared/msg.h \
 shared/jscan.h tunneld/audit_writer.h shared/audit.h shared/config.h \
 shared/log.h tunneld/map.h tunneld/outcome.h shared/problem.h \
 tunneld/registry.h shared/clientip.h tunneld/catalog.h shared/mem.h
tunneld/metrics.h:
shared/buf.h:
shared/rc.h:
shared/handshake.h:
shared/crypto.h:
shared/msg.h:
shared/jscan.h:
tunneld/audit_writer.h:
shared/audit.h:
shared/config.h:
shared/log.h:
tunneld/map.h:
tunneld/outcome.h:
shared/problem.h:
tunneld/registry.h:
shared/clientip.h:
tunneld/catalog.h:
shared/mem.h:
