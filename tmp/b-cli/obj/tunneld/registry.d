tmp/b-cli/obj/tunneld/registry.o: tunneld/registry.c tunneld/registry.h \
 shared/clientip.h shared/crypto.h shared/rc.h tunneld/catalog.h \
 tunneld/map.h shared/mem.h
tunneld/registry.h:
shared/clientip.h:
shared/crypto.h:
shared/rc.h:
tunneld/catalog.h:
tunneld/map.h:
shared/mem.h:
