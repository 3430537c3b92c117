tmp/b-cli/obj/worker/snapshot.o: worker/snapshot.c worker/snapshot.h \
 shared/rc.h worker/export.h worker/budget.h worker/engine.h \
 worker/value.h shared/buf.h worker/mask.h worker/wconfig.h worker/plan.h \
 worker/source.h worker/tools.h shared/jscan.h shared/clock.h \
 shared/crypto.h shared/file.h shared/log.h shared/mem.h shared/sidecar.h \
 shared/text.h
worker/snapshot.h:
shared/rc.h:
worker/export.h:
worker/budget.h:
worker/engine.h:
worker/value.h:
shared/buf.h:
worker/mask.h:
worker/wconfig.h:
worker/plan.h:
worker/source.h:
worker/tools.h:
shared/jscan.h:
shared/clock.h:
shared/crypto.h:
shared/file.h:
shared/log.h:
shared/mem.h:
shared/sidecar.h:
shared/text.h:
