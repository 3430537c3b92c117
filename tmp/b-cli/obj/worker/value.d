tmp/b-cli/obj/worker/value.o: worker/value.c worker/value.h shared/buf.h \
 shared/rc.h shared/mem.h
worker/value.h:
shared/buf.h:
shared/rc.h:
shared/mem.h:
