tmp/b-cli/obj/worker/mask.o: worker/mask.c worker/mask.h worker/value.h \
 shared/buf.h shared/rc.h worker/wconfig.h shared/crypto.h shared/mem.h \
 shared/text.h
worker/mask.h:
worker/value.h:
shared/buf.h:
shared/rc.h:
worker/wconfig.h:
shared/crypto.h:
shared/mem.h:
shared/text.h:
