/* A program that uses the library, valid as C and C++. With CONSUMER_OTHER other.c is its second translation unit. */
#if defined(CONSUMER_HPP)
#include "gmpunch.hpp"
#else
#include "gmpunch.h"
#endif
#include <stdio.h>
#include <string.h>

#if defined(CONSUMER_OTHER)
#if defined(__cplusplus)
extern "C"
#endif
int other(char *text, size_t size);
#endif

static int fail(const char *what) {
    fprintf(stderr, "FAILED: %s\n", what);
    return 1;
}

int main(void) {
    gmpunch_address address;
    char text[GMPUNCH_ADDRESS_TEXT_SIZE];
    if (gmpunch_version() != GMPUNCH_VERSION) return fail("gmpunch_version");
    if (strcmp(gmpunch_version_string(), GMPUNCH_VERSION_STRING) != 0) return fail("gmpunch_version_string");
    if (gmpunch_address_parse("[2001:db8::1]:7000", 0, &address) != GMPUNCH_OK) return fail("gmpunch_address_parse");
    if (address.family != 6 || address.port != 7000) return fail("family and port");
    if (gmpunch_address_parse("nonsense", 0, &address) != GMPUNCH_ERR_ADDRESS) return fail("nonsense");
#if defined(CONSUMER_OTHER)
    if (other(text, sizeof text) != 0 || strcmp(text, "192.0.2.1:6510") != 0) return fail("other");
#else
    if (gmpunch_address_parse("192.0.2.1", GMPUNCH_DEFAULT_PORT, &address) != GMPUNCH_OK) return fail("default port");
    if (gmpunch_address_format(&address, text, sizeof text) != 14) return fail("gmpunch_address_format");
    if (strcmp(text, "192.0.2.1:6510") != 0) return fail(text);
#endif
    return 0;
}
