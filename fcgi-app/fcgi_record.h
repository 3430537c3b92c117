/* fcgi_record: the little that we do of the FastCGI protocol ourselves (libfcgi does the rest). Has
 * a whole request arrived? What is whole can be read without waiting for the front. And the head of
 * an answer's record: libfcgi copies a long answer into records of 8 KiB, and writes each. Pure. */
#ifndef FCGI_APP_FCGI_RECORD_H
#define FCGI_APP_FCGI_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* From BEGIN_REQUEST to the empty STDIN record that ends the body (FastCGI 1.0, 3.3 and 5). */
bool fcgi_record_whole(const uint8_t *bytes, size_t len);

#define FCGI_RECORD_HEAD_LEN 8
/* The most that one record carries, a multiple of eight. */
#define FCGI_RECORD_MAX 65528
/* The head of a STDOUT record of len bytes, without padding. */
void fcgi_record_head(uint8_t head[FCGI_RECORD_HEAD_LEN], int request_id, size_t len);

#endif
