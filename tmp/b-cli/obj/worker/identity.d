tmp/b-cli/obj/worker/identity.o: worker/identity.c worker/identity.h \
 shared/buf.h shared/rc.h shared/crypto.h worker/endpoint.h shared/file.h \
 shared/jscan.h shared/mem.h shared/text.h
worker/identity.h:
shared/buf.h:
shared/rc.h:
shared/crypto.h:
worker/endpoint.h:
shared/file.h:
shared/jscan.h:
shared/mem.h:
shared/text.h:
