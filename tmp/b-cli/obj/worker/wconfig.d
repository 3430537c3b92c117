tmp/b-cli/obj/worker/wconfig.o: worker/wconfig.c worker/wconfig.h \
 shared/rc.h shared/file.h shared/manifest.h shared/buf.h shared/jscan.h \
 shared/mem.h shared/text.h
worker/wconfig.h:
shared/rc.h:
shared/file.h:
shared/manifest.h:
shared/buf.h:
shared/jscan.h:
shared/mem.h:
shared/text.h:
