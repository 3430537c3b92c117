tmp/b-cli/obj/worker/heap.o: worker/heap.c worker/heap.h shared/rc.h \
 shared/log.h
worker/heap.h:
shared/rc.h:
shared/log.h:
