tmp/b-cli/obj/worker/plan.o: worker/plan.c worker/plan.h shared/rc.h \
 worker/engine.h worker/budget.h worker/value.h shared/buf.h \
 worker/source.h worker/wconfig.h shared/mem.h shared/text.h \
 worker/mask.h
worker/plan.h:
shared/rc.h:
worker/engine.h:
worker/budget.h:
worker/value.h:
shared/buf.h:
worker/source.h:
worker/wconfig.h:
shared/mem.h:
shared/text.h:
worker/mask.h:
