tmp/b-cli/obj/shared/firstboot.o: shared/firstboot.c shared/firstboot.h \
 shared/config.h shared/buf.h shared/rc.h shared/log.h shared/crypto.h \
 shared/db.h shared/file.h shared/store.h shared/audit.h shared/jscan.h
shared/firstboot.h:
shared/config.h:
shared/buf.h:
shared/rc.h:
shared/log.h:
shared/crypto.h:
shared/db.h:
shared/file.h:
shared/store.h:
shared/audit.h:
shared/jscan.h:
