tmp/b-cli/obj/worker/sqlfunc.o: worker/sqlfunc.c worker/sqlfunc.h \
 shared/buf.h shared/rc.h worker/value.h
worker/sqlfunc.h:
shared/buf.h:
shared/rc.h:
worker/value.h:
