tmp/b-cli/obj/worker/guard.o: worker/guard.c worker/guard.h \
 worker/budget.h worker/engine.h shared/rc.h worker/value.h shared/buf.h \
 shared/log.h shared/mem.h shared/text.h worker/sqlfunc.h
worker/guard.h:
worker/budget.h:
worker/engine.h:
shared/rc.h:
worker/value.h:
shared/buf.h:
shared/log.h:
shared/mem.h:
shared/text.h:
worker/sqlfunc.h:
