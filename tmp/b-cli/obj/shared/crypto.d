tmp/b-cli/obj/shared/crypto.o: shared/crypto.c shared/crypto.h \
 shared/rc.h shared/file.h shared/log.h shared/mem.h shared/text.h
shared/crypto.h:
shared/rc.h:
shared/file.h:
shared/log.h:
shared/mem.h:
shared/text.h:
