/* config_example: the text of conf/config.example.yaml, built into the program by mk/embed.mk. */
#ifndef SHARED_CONFIG_EXAMPLE_H
#define SHARED_CONFIG_EXAMPLE_H

#include <stddef.h>

extern const char *const config_example; /* NUL-terminated */
extern const size_t config_example_len;

#endif
