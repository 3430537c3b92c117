tmp/b-cli/obj/worker/export.o: worker/export.c worker/export.h \
 worker/budget.h worker/engine.h shared/rc.h worker/value.h shared/buf.h \
 worker/mask.h worker/wconfig.h worker/plan.h worker/source.h \
 shared/log.h shared/mem.h
worker/export.h:
worker/budget.h:
worker/engine.h:
shared/rc.h:
worker/value.h:
shared/buf.h:
worker/mask.h:
worker/wconfig.h:
worker/plan.h:
worker/source.h:
shared/log.h:
shared/mem.h:
