tmp/b-cli/obj/shared/manifest.o: shared/manifest.c shared/manifest.h \
 shared/buf.h shared/rc.h shared/jscan.h shared/text.h
shared/manifest.h:
shared/buf.h:
shared/rc.h:
shared/jscan.h:
shared/text.h:
