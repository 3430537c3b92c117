tmp/b-cli/obj/worker/endpoint.o: worker/endpoint.c worker/endpoint.h \
 shared/rc.h shared/mem.h shared/text.h
worker/endpoint.h:
shared/rc.h:
shared/mem.h:
shared/text.h:
