// One host and one client behind routers of any kind: do they meet?
#ifndef GMPUNCH_TESTS_MEETING_HPP
#define GMPUNCH_TESTS_MEETING_HPP

#include "theory.hpp"
#include "world.hpp"

namespace sim {

// Game packets both ways, as applications send them: to the addresses that the library names.
inline bool exchange(world &w, node &host, node &client) {
    gmpunch_address server;
    uint32_t flags = 0;
    if (gmpunch_client_server(client.client, &server, &flags)) return false;
    size_t heard = host.game.size(), answered = client.game.size();
    w.game(client, server, flags, client.find(GMPUNCH_EVENT_CONNECTED)->socket_index, bin("hello"));
    if (!w.run([&] { return host.game.size() > heard; }, 1000) || host.game.back() != bin("hello")) return false;
    gmpunch_peer_info info{};
    if (gmpunch_host_peer_info(host.host, gmpunch_host_find_peer(host.host, &host.game_from.back()), &info)) return false;
    w.game(host, info.address, info.flags, info.socket_index, bin("welcome aboard"));
    return w.run([&] { return client.game.size() > answered; }, 1000) && client.game.back() == bin("welcome aboard") &&
           gmpunch_address_equal(&client.game_from.back(), &server);
}

struct meeting {
    world w;
    node *host, *client;
    bool connected, plays; // a client that is connected without being able to play was told a lie

    meeting(std::shared_ptr<nat> host_router, std::shared_ptr<nat> client_router,
            gmpunch_client_config config = gmpunch_client_config()) {
        nat *outside = host_router.get();
        while (outside->outer) outside = outside->outer.get();
        host = &w.add_host(host_router);
        w.run(5000);
        std::string server = text(outside->ip);
        config.server = server.c_str();
        client = &w.add_client(client_router, config);
        w.run([&] { return gmpunch_client_stage(client->client) >= GMPUNCH_STAGE_CONNECTED; }, 20000);
        connected = gmpunch_client_stage(client->client) == GMPUNCH_STAGE_CONNECTED;
        plays = connected && exchange(w, *host, *client);
    }
};

// Of all pairs of routers whether they meet, in Markdown. A row for each host, a column for each client.
inline std::string table() {
    const dependence all[] = {dependence::endpoint_independent, dependence::address, dependence::address_and_port};
    auto routers = [&](const char *ip) {
        std::vector<nat> kinds = {nat(ip)};
        for (dependence mapping : all)
            for (dependence filtering : all) kinds.push_back(nat(ip, mapping, filtering));
        kinds.push_back(nat(ip));
        kinds.back().translates = kinds.back().conntrack = true;
        return kinds;
    };
    std::vector<nat> hosts = routers("198.51.100.7"), clients = routers("192.0.2.55");
    std::string out = "| host \\ client |", rule = "\n| --- |";
    for (const nat &client : clients) {
        out += " " + client.name() + " |";
        rule += " --- |";
    }
    out += rule + "\n";
    for (const nat &host : hosts) {
        out += "| " + host.name() + " |";
        for (const nat &client : clients) {
            meeting m(behind(host), behind(client));
            out += m.plays ? " yes |" : m.connected ? " half |" : " – |";
        }
        out += "\n";
    }
    return out;
}

} // namespace sim

#endif
