tmp/b-cli/obj/tunneld/deadline.o: tunneld/deadline.c tunneld/deadline.h
tunneld/deadline.h:
