tmp/b-cli/obj/shared/store_worker.o: shared/store_worker.c shared/clock.h \
 shared/rc.h shared/mem.h shared/store.h shared/audit.h shared/buf.h \
 shared/jscan.h shared/crypto.h shared/db.h shared/store_sql.h \
 shared/text.h
shared/clock.h:
shared/rc.h:
shared/mem.h:
shared/store.h:
shared/audit.h:
shared/buf.h:
shared/jscan.h:
shared/crypto.h:
shared/db.h:
shared/store_sql.h:
shared/text.h:
