tmp/b-cli/obj/shared/store_outbox.o: shared/store_outbox.c shared/log.h \
 shared/rc.h shared/mem.h shared/store.h shared/audit.h shared/buf.h \
 shared/jscan.h shared/crypto.h shared/db.h shared/store_sql.h
shared/log.h:
shared/rc.h:
shared/mem.h:
shared/store.h:
shared/audit.h:
shared/buf.h:
shared/jscan.h:
shared/crypto.h:
shared/db.h:
shared/store_sql.h:
