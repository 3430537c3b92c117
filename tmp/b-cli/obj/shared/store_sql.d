tmp/b-cli/obj/shared/store_sql.o: shared/store_sql.c shared/store_sql.h \
 shared/audit.h shared/buf.h shared/rc.h shared/jscan.h shared/db.h \
 shared/log.h shared/mem.h
shared/store_sql.h:
shared/audit.h:
shared/buf.h:
shared/rc.h:
shared/jscan.h:
shared/db.h:
shared/log.h:
shared/mem.h:
