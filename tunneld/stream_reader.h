/* stream_reader: what a stream (audit_stream.h, listen.h) asks of the connection that reads it. */
#ifndef TUNNELD_STREAM_READER_H
#define TUNNELD_STREAM_READER_H

#include <stdbool.h>

struct stream_reader {
	/* There is something to write. */
	void (*wake)(void *ctx);
	/* Let go once there is nothing more to write, or (cut) at once. */
	void (*close)(void *ctx, bool cut);
};

#endif
