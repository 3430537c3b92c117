tmp/b-cli/obj/worker/result.o: worker/result.c worker/result.h \
 shared/buf.h shared/rc.h worker/engine.h worker/budget.h worker/value.h \
 shared/text.h
worker/result.h:
shared/buf.h:
shared/rc.h:
worker/engine.h:
worker/budget.h:
worker/value.h:
shared/text.h:
