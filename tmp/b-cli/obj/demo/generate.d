tmp/b-cli/obj/demo/generate.o: demo/generate.c
