tmp/b-cli/obj/tunneld/map.o: tunneld/map.c tunneld/map.h shared/mem.h
tunneld/map.h:
shared/mem.h:
