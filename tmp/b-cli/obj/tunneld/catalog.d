tmp/b-cli/obj/tunneld/catalog.o: tunneld/catalog.c tunneld/catalog.h \
 shared/crypto.h shared/rc.h tunneld/map.h shared/jscan.h \
 shared/manifest.h shared/buf.h shared/mem.h shared/text.h
tunneld/catalog.h:
shared/crypto.h:
shared/rc.h:
tunneld/map.h:
shared/jscan.h:
shared/manifest.h:
shared/buf.h:
shared/mem.h:
shared/text.h:
