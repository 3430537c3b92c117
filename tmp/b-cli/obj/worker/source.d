tmp/b-cli/obj/worker/source.o: worker/source.c worker/source.h \
 shared/rc.h worker/budget.h worker/value.h shared/buf.h
worker/source.h:
shared/rc.h:
worker/budget.h:
worker/value.h:
shared/buf.h:
