tmp/b-cli/obj/shared/sidecar.o: shared/sidecar.c shared/sidecar.h \
 shared/buf.h shared/rc.h shared/file.h shared/jscan.h shared/log.h \
 shared/mem.h shared/text.h
shared/sidecar.h:
shared/buf.h:
shared/rc.h:
shared/file.h:
shared/jscan.h:
shared/log.h:
shared/mem.h:
shared/text.h:
