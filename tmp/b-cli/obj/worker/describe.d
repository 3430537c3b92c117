tmp/b-cli/obj/worker/describe.o: worker/describe.c worker/describe.h \
 shared/buf.h shared/rc.h worker/plan.h worker/engine.h worker/budget.h \
 worker/value.h worker/source.h worker/wconfig.h worker/snapshot.h \
 worker/export.h worker/mask.h worker/tools.h shared/jscan.h \
 shared/clock.h
worker/describe.h:
shared/buf.h:
shared/rc.h:
worker/plan.h:
worker/engine.h:
worker/budget.h:
worker/value.h:
worker/source.h:
worker/wconfig.h:
worker/snapshot.h:
worker/export.h:
worker/mask.h:
worker/tools.h:
shared/jscan.h:
shared/clock.h:
