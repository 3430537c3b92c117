/* fcgi_record: has a whole FastCGI request arrived? That is all we read of the protocol ourselves
 * (libfcgi does the rest): what is whole can be read without waiting for the front. Pure. */
#ifndef FCGI_APP_FCGI_RECORD_H
#define FCGI_APP_FCGI_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* From BEGIN_REQUEST to the empty STDIN record that ends the body (FastCGI 1.0, 3.3 and 5). */
bool fcgi_record_whole(const uint8_t *bytes, size_t len);

#endif
