tmp/b-cli/obj/shared/firstboot_config.o: shared/firstboot_config.c \
 shared/firstboot.h shared/config.h shared/buf.h shared/rc.h shared/log.h \
 shared/crypto.h shared/db.h shared/config_example.h shared/file.h
shared/firstboot.h:
shared/config.h:
shared/buf.h:
shared/rc.h:
shared/log.h:
shared/crypto.h:
shared/db.h:
shared/config_example.h:
shared/file.h:
