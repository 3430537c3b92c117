tmp/b-cli/obj/shared/yaml_read.o: shared/yaml_read.c shared/yaml_read.h \
 shared/rc.h shared/clock.h shared/mem.h shared/text.h
shared/yaml_read.h:
shared/rc.h:
shared/clock.h:
shared/mem.h:
shared/text.h:
