/* A program that was built with an older header and runs with today's shared library. It is compiled with declarations whose
   structs lack their later fields (run.sh), so it names only fields that were there from the start.

   Behind each struct lie bytes that would be no valid values: the library must neither read nor write them. */
#include "gmpunch.h"
#include <stdio.h>
#include <string.h>

enum { LATER = 1024, POISON = 0xdb };

#define OLD(type, name) \
    struct { \
        type old; \
        unsigned char later[LATER]; \
    } name

static int fail(const char *what, int32_t result) {
    fprintf(stderr, "FAILED: %s: %s\n", what, gmpunch_error_name(result));
    return 1;
}

static int poisoned(const unsigned char *later) {
    size_t i;
    for (i = 0; i < LATER; i++)
        if (later[i] != POISON) return 0;
    return 1;
}

/* A zeroed struct with its size, and poison behind. */
#define START(name) \
    (memset(&(name), 0, sizeof(name)), memset((name).later, POISON, LATER), \
     (name).old.struct_size = (uint32_t)sizeof(name).old)

/* Lets the library fill a struct of the right size; one without a size or of a newer header is refused. */
#define CHECK_FILLED(name, call) \
    do { \
        START(name); \
        result = call; \
        if (result != GMPUNCH_OK) return fail(#call, result); \
        if ((name).old.struct_size != sizeof(name).old || !poisoned((name).later)) return fail(#call " wrote beyond", 0); \
        (name).old.struct_size = 0; \
        result = call; \
        if (result != GMPUNCH_ERR_CONFIG) return fail(#call " without struct_size", result); \
        (name).old.struct_size = 0x10000; \
        result = call; \
        if (result != GMPUNCH_ERR_CONFIG) return fail(#call " with a struct newer than the library", result); \
    } while (0)

/* Opens; sizes that can't be right are refused. */
#define CHECK_OPEN(name, open, object) \
    do { \
        static const uint32_t wrong[] = {0, 3, 0x10000}; \
        size_t i; \
        for (i = 0; i < sizeof wrong / sizeof *wrong; i++) { \
            (name).old.struct_size = wrong[i]; \
            result = open(&(name).old, &(object)); \
            if (result != GMPUNCH_ERR_CONFIG) return fail(#open " with a wrong struct_size", result); \
        } \
        (name).old.struct_size = (uint32_t)sizeof(name).old; \
        result = open(&(name).old, &(object)); \
        if (result != GMPUNCH_OK) return fail(#open, result); \
    } while (0)

int main(void) {
    OLD(gmpunch_master_config, master_config);
    OLD(gmpunch_host_config, host_config);
    OLD(gmpunch_client_config, client_config);
    OLD(gmpunch_lobby_config, lobby_config);
    OLD(gmpunch_master_stats, master_stats);
    OLD(gmpunch_host_stats, host_stats);
    OLD(gmpunch_client_stats, client_stats);
    OLD(gmpunch_lobby_stats, lobby_stats);
    OLD(gmpunch_peer_info, peer_info);
    gmpunch_master *master;
    gmpunch_host *host;
    gmpunch_client *client = NULL;
    gmpunch_lobby *lobby = NULL;
    gmpunch_address address;
    gmpunch_event event;
    char master_text[GMPUNCH_ADDRESS_TEXT_SIZE];
    int echoed = 0, listed = 0;
    uint32_t peer = 0;
    uint64_t end = gmpunch_now() + 15000;
    int32_t result;

    START(master_config);
    master_config.old.any_port = 1;
    master_config.old.bind_address = "127.0.0.1";
    CHECK_OPEN(master_config, gmpunch_master_open, master);
    result = gmpunch_master_local_address(master, 0, &address);
    if (result != GMPUNCH_OK) return fail("gmpunch_master_local_address", result);
    gmpunch_address_format(&address, master_text, sizeof master_text);

    START(host_config);
    host_config.old.master = master_text;
    host_config.old.bind_address = "127.0.0.1";
    CHECK_OPEN(host_config, gmpunch_host_open, host);

    while (!(echoed && listed) && gmpunch_now() < end) {
        while (gmpunch_master_poll(master, &event, 1) > 0) {
            if (event.type != GMPUNCH_EVENT_HOST_ADDED || client) continue;
            START(client_config);
            client_config.old.master = master_text;
            client_config.old.server = "127.0.0.1";
            client_config.old.bind_address = "127.0.0.1";
            CHECK_OPEN(client_config, gmpunch_client_open, client);
            START(lobby_config);
            lobby_config.old.master = master_text;
            CHECK_OPEN(lobby_config, gmpunch_lobby_open, lobby);
        }
        while (gmpunch_host_poll(host, &event, 1) > 0) {
            if (event.type != GMPUNCH_EVENT_DATA) continue;
            peer = event.peer;
            gmpunch_host_send(host, peer, event.data, event.len);
        }
        while (client && gmpunch_client_poll(client, &event, 1) > 0) {
            if (event.type == GMPUNCH_EVENT_CONNECTED) gmpunch_client_send(client, "hello", 5);
            if (event.type == GMPUNCH_EVENT_DATA && event.len == 5 && memcmp(event.data, "hello", 5) == 0) echoed = 1;
        }
        while (lobby && gmpunch_lobby_poll(lobby, &event, 1) > 0)
            if (event.type == GMPUNCH_EVENT_LOBBY_DONE && event.count == 1) listed = 1;
    }
    if (!echoed || !listed) return fail(echoed ? "no list" : "no echo", 0);

    CHECK_FILLED(master_stats, gmpunch_master_get_stats(master, &master_stats.old));
    CHECK_FILLED(host_stats, gmpunch_host_get_stats(host, &host_stats.old));
    CHECK_FILLED(client_stats, gmpunch_client_get_stats(client, &client_stats.old));
    CHECK_FILLED(lobby_stats, gmpunch_lobby_get_stats(lobby, &lobby_stats.old));
    CHECK_FILLED(peer_info, gmpunch_host_peer_info(host, peer, &peer_info.old));
    if (master_stats.old.connections == 0 || host_stats.old.peers != 1 || client_stats.old.announces_sent == 0 ||
        lobby_stats.old.master_attempts != 1 || peer_info.old.peer != peer)
        return fail("values of the stats", 0);

    gmpunch_lobby_close(lobby);
    gmpunch_client_close(client);
    gmpunch_host_close(host);
    gmpunch_master_close(master);
    printf("%u %u %u %u\n", (unsigned)sizeof(gmpunch_client_config), (unsigned)sizeof(gmpunch_host_config),
           (unsigned)sizeof(gmpunch_lobby_config), (unsigned)sizeof(gmpunch_master_config));
    return 0;
}
