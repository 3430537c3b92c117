tmp/b-cli/obj/tunneld/state_writer.o: tunneld/state_writer.c \
 tunneld/state_writer.h shared/buf.h shared/rc.h shared/store.h \
 shared/audit.h shared/jscan.h shared/crypto.h shared/db.h \
 tunneld/audit_writer.h shared/config.h shared/log.h tunneld/catalog.h \
 tunneld/map.h shared/clock.h shared/mem.h shared/sidecar.h \
 tunneld/journal.h
tunneld/state_writer.h:
shared/buf.h:
shared/rc.h:
shared/store.h:
shared/audit.h:
shared/jscan.h:
shared/crypto.h:
shared/db.h:
tunneld/audit_writer.h:
shared/config.h:
shared/log.h:
tunneld/catalog.h:
tunneld/map.h:
shared/clock.h:
shared/mem.h:
shared/sidecar.h:
tunneld/journal.h:
