tmp/b-cli/obj/tunneld/rate.o: tunneld/rate.c tunneld/rate.h tunneld/map.h \
 shared/mem.h
tunneld/rate.h:
tunneld/map.h:
shared/mem.h:
