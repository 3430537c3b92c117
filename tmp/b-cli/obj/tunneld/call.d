tmp/b-cli/obj/tunneld/call.o: tunneld/call.c tunneld/call.h shared/buf.h \
 shared/rc.h tunneld/audit_writer.h shared/audit.h shared/jscan.h \
 shared/config.h shared/log.h tunneld/deadline.h tunneld/map.h \
 tunneld/outcome.h shared/problem.h tunneld/registry.h shared/clientip.h \
 shared/crypto.h tunneld/catalog.h shared/mem.h shared/text.h
tunneld/call.h:
shared/buf.h:
shared/rc.h:
tunneld/audit_writer.h:
shared/audit.h:
shared/jscan.h:
shared/config.h:
shared/log.h:
tunneld/deadline.h:
tunneld/map.h:
tunneld/outcome.h:
shared/problem.h:
tunneld/registry.h:
shared/clientip.h:
shared/crypto.h:
tunneld/catalog.h:
shared/mem.h:
shared/text.h:
