tmp/b-cli/obj/shared/db.o: shared/db.c shared/db.h shared/rc.h \
 shared/dbmark.h shared/log.h shared/mem.h shared/store_sql.h \
 shared/audit.h shared/buf.h shared/jscan.h
shared/db.h:
shared/rc.h:
shared/dbmark.h:
shared/log.h:
shared/mem.h:
shared/store_sql.h:
shared/audit.h:
shared/buf.h:
shared/jscan.h:
