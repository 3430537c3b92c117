tmp/b-cli/obj/worker/tools.o: worker/tools.c worker/tools.h shared/buf.h \
 shared/rc.h shared/jscan.h worker/wconfig.h shared/clock.h shared/log.h \
 shared/mem.h shared/text.h worker/describe.h worker/plan.h \
 worker/engine.h worker/budget.h worker/value.h worker/source.h \
 worker/snapshot.h worker/export.h worker/mask.h worker/guard.h \
 worker/result.h
worker/tools.h:
shared/buf.h:
shared/rc.h:
shared/jscan.h:
worker/wconfig.h:
shared/clock.h:
shared/log.h:
shared/mem.h:
shared/text.h:
worker/describe.h:
worker/plan.h:
worker/engine.h:
worker/budget.h:
worker/value.h:
worker/source.h:
worker/snapshot.h:
worker/export.h:
worker/mask.h:
worker/guard.h:
worker/result.h:
