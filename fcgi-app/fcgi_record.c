#include "fcgi-app/fcgi_record.h"

#define VERSION 1
#define HEADER_LEN FCGI_RECORD_HEAD_LEN
#define BEGIN_REQUEST 1
#define STDIN 5
#define STDOUT 6

bool fcgi_record_whole(const uint8_t *bytes, size_t len)
{
	size_t at = 0;

	while (len - at >= HEADER_LEN) {
		const uint8_t *head = bytes + at;
		size_t content = (size_t)head[4] << 8 | head[5];

		if (head[0] != VERSION || (at == 0) != (head[1] == BEGIN_REQUEST))
			return false;
		if (len - at - HEADER_LEN < content + head[6])
			return false;
		if (head[1] == STDIN && content == 0)
			return true;
		at += HEADER_LEN + content + head[6];
	}
	return false;
}

void fcgi_record_head(uint8_t head[FCGI_RECORD_HEAD_LEN], int request_id, size_t len)
{
	head[0] = VERSION;
	head[1] = STDOUT;
	head[2] = (uint8_t)(request_id >> 8);
	head[3] = (uint8_t)request_id;
	head[4] = (uint8_t)(len >> 8);
	head[5] = (uint8_t)len;
	head[6] = head[7] = 0;
}
