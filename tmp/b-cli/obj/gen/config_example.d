tmp/b-cli/obj/gen/config_example.o: tmp/b-cli/gen/config_example.c \
 shared/config_example.h
shared/config_example.h:
