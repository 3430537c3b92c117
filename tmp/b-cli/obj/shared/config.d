tmp/b-cli/obj/shared/config.o: shared/config.c shared/config.h \
 shared/buf.h shared/rc.h shared/log.h shared/config_internal.h \
 shared/file.h shared/firstboot.h shared/crypto.h shared/db.h \
 shared/mem.h shared/text.h
shared/config.h:
shared/buf.h:
shared/rc.h:
shared/log.h:
shared/config_internal.h:
shared/file.h:
shared/firstboot.h:
shared/crypto.h:
shared/db.h:
shared/mem.h:
shared/text.h:
