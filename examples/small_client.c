/* The smallest client: joins a host through a master, says hello, prints the answer.

     cc small_client.c -o small_client        (Windows: x86_64-w64-mingw32-gcc small_client.c -o small_client.exe -lws2_32)
     ./small_client MASTER SERVER             SERVER is the host's address, as the master sees it */
#define GMPUNCH_IMPLEMENTATION
#include "../gmpunch.h"

#include <stdio.h>

int main(int argc, char **argv) {
    gmpunch_client_config config = {0}; /* all zero: the documented defaults */
    gmpunch_client *client;
    gmpunch_event event;
    int connected = 0;
    int tries = 0;
    int code = -1; /* goes on */
    int32_t result;

    if (argc != 3) {
        fprintf(stderr, "usage: small_client MASTER SERVER\n");
        return 2;
    }
    config.master = argv[1];
    config.server = argv[2];
    result = gmpunch_client_open(&config, &client);
    if (result != GMPUNCH_OK) {
        fprintf(stderr, "small_client: cannot open: %s\n", gmpunch_strerror(result));
        return 1;
    }

    /* A game polls with 0 once per frame, which never waits. This client has nothing else to do. */
    while (code < 0 && (result = gmpunch_client_poll(client, &event, 250)) >= 0) {
        if (result > 0 && event.type == GMPUNCH_EVENT_CONNECTED) connected = 1;
        if (result > 0 && event.type == GMPUNCH_EVENT_DATA) {
            printf("%.*s\n", (int)event.len, (const char *)event.data); /* as it came: we trust the host */
            code = 0;
        }
        if (result > 0 && (event.type == GMPUNCH_EVENT_FAILED || event.type == GMPUNCH_EVENT_LOST)) {
            fprintf(stderr, "small_client: %s\n", gmpunch_reason_text(event.reason));
            code = 1;
        }
        /* Like any datagram, hello or its answer may get lost: it is said again until the answer comes. */
        if (connected && code < 0 && tries++ < 20) gmpunch_client_send(client, "hello", 5);
        else if (connected && code < 0) {
            fprintf(stderr, "small_client: connected, but the host does not answer\n");
            code = 1;
        }
    }
    if (result < 0) fprintf(stderr, "small_client: %s\n", gmpunch_strerror(result));
    gmpunch_client_close(client);
    return result < 0 ? 1 : code;
}
