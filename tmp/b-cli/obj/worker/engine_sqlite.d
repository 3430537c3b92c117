tmp/b-cli/obj/worker/engine_sqlite.o: worker/engine_sqlite.c \
 worker/engine.h shared/rc.h worker/budget.h worker/value.h shared/buf.h \
 shared/log.h shared/mem.h worker/guard.h worker/heap.h
worker/engine.h:
shared/rc.h:
worker/budget.h:
worker/value.h:
shared/buf.h:
shared/log.h:
shared/mem.h:
worker/guard.h:
worker/heap.h:
