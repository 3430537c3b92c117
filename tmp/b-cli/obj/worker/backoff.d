tmp/b-cli/obj/worker/backoff.o: worker/backoff.c worker/backoff.h
worker/backoff.h:
