tmp/b-cli/obj/worker/source_sqlite.o: worker/source_sqlite.c \
 worker/source.h shared/rc.h worker/budget.h worker/value.h shared/buf.h \
 shared/mem.h
worker/source.h:
shared/rc.h:
worker/budget.h:
worker/value.h:
shared/buf.h:
shared/mem.h:
