tmp/b-cli/obj/shared/buf.o: shared/buf.c shared/buf.h shared/rc.h \
 shared/mem.h shared/text.h
shared/buf.h:
shared/rc.h:
shared/mem.h:
shared/text.h:
