tmp/b-cli/obj/shared/httpclient.o: shared/httpclient.c \
 shared/httpclient.h shared/buf.h shared/rc.h shared/log.h shared/mem.h
shared/httpclient.h:
shared/buf.h:
shared/rc.h:
shared/log.h:
shared/mem.h:
