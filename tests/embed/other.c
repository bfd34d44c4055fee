/* The second translation unit of consumer.c, valid as C and C++. */
#if defined(CONSUMER_HPP)
#include "gmpunch.hpp"
#else
#include "gmpunch.h"
#endif

#if defined(__cplusplus)
extern "C"
#endif
int other(char *text, size_t size);

int other(char *text, size_t size) {
    gmpunch_address address;
    if (gmpunch_address_parse("192.0.2.1", GMPUNCH_DEFAULT_PORT, &address) != GMPUNCH_OK) return 1;
    return gmpunch_address_format(&address, text, size) == 14 ? 0 : 1;
}
