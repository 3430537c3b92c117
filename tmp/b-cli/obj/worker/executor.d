tmp/b-cli/obj/worker/executor.o: worker/executor.c worker/executor.h \
 shared/rc.h shared/log.h shared/mem.h
worker/executor.h:
shared/rc.h:
shared/log.h:
shared/mem.h:
