tmp/b-cli/obj/shared/mem.o: shared/mem.c shared/mem.h shared/log.h \
 shared/rc.h
shared/mem.h:
shared/log.h:
shared/rc.h:
