/* The smallest host: clients join it through a master, and each packet goes back to whom it came from.

     cc small_host.c -o small_host            (Windows: x86_64-w64-mingw32-gcc small_host.c -o small_host.exe -lws2_32)
     ./small_host MASTER [SECONDS]            MASTER is an address or a name, with :port if it is not 6510 */
#define GMPUNCH_IMPLEMENTATION
#include "../gmpunch.h"

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
    gmpunch_host_config config = {0}; /* all zero: the documented defaults */
    gmpunch_host *host;
    gmpunch_event event;
    char text[GMPUNCH_ADDRESS_TEXT_SIZE];
    uint64_t end = UINT64_MAX; /* for ever */
    int32_t result;

    if (argc < 2 || argc > 3 || (argc == 3 && atoi(argv[2]) <= 0)) {
        fprintf(stderr, "usage: small_host MASTER [SECONDS]\n");
        return 2;
    }
    if (argc == 3) end = gmpunch_now() + (uint64_t)atoi(argv[2]) * 1000;

    config.master = argv[1];
    result = gmpunch_host_open(&config, &host);
    if (result != GMPUNCH_OK) {
        fprintf(stderr, "small_host: cannot open: %s\n", gmpunch_strerror(result));
        return 1;
    }

    /* A game polls with 0 once per frame, which never waits. This host has nothing else to do. */
    while (gmpunch_now() < end && (result = gmpunch_host_poll(host, &event, 100)) >= 0) {
        if (result == 0) continue;
        gmpunch_address_format(&event.address, text, sizeof text);
        switch (event.type) {
        case GMPUNCH_EVENT_RESOLVE: gmpunch_host_resolve(host); break; /* may wait for a name server */
        case GMPUNCH_EVENT_REGISTERED: printf("registered with %s\n", text); break;
        case GMPUNCH_EVENT_UNREGISTERED: printf("no master: %s\n", gmpunch_reason_text(event.reason)); break;
        case GMPUNCH_EVENT_JOINED: printf("%s joined\n", text); break;
        case GMPUNCH_EVENT_LEFT: printf("%s left\n", text); break;
        case GMPUNCH_EVENT_DATA: gmpunch_host_send(host, event.peer, event.data, event.len); break; /* may get lost */
        default: break; /* new events may come with new versions */
        }
        fflush(stdout);
    }
    if (result < 0) fprintf(stderr, "small_host: %s\n", gmpunch_strerror(result));
    gmpunch_host_close(host);
    return result < 0;
}
