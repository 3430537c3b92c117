tmp/b-cli/obj/fcgi-app/http_parse.o: fcgi-app/http_parse.c \
 fcgi-app/http_parse.h shared/rc.h shared/mem.h shared/text.h
fcgi-app/http_parse.h:
shared/rc.h:
shared/mem.h:
shared/text.h:
