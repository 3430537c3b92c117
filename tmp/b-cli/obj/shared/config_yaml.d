tmp/b-cli/obj/shared/config_yaml.o: shared/config_yaml.c \
 shared/config_internal.h shared/config.h shared/buf.h shared/rc.h \
 shared/log.h shared/clientip.h shared/mem.h shared/text.h
shared/config_internal.h:
shared/config.h:
shared/buf.h:
shared/rc.h:
shared/log.h:
shared/clientip.h:
shared/mem.h:
shared/text.h:
