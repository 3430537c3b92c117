tmp/b-cli/obj/shared/config_env.o: shared/config_env.c \
 shared/config_internal.h shared/config.h shared/buf.h shared/rc.h \
 shared/log.h shared/file.h shared/mem.h shared/text.h
shared/config_internal.h:
shared/config.h:
shared/buf.h:
shared/rc.h:
shared/log.h:
shared/file.h:
shared/mem.h:
shared/text.h:
