/* chat.cpp - a chat over punched connections: one hosts, others join, what one writes all others read

    chat host MASTER NAME
    chat join MASTER HOST-IP NAME

Lines wait until somebody is there to read them. At the end of its input it stays until two seconds pass without news. */
#define GMPUNCH_IMPLEMENTATION
#include "gmpunch.hpp"

#include <iostream>
#include <memory>
#include <mutex>
#include <queue>
#include <thread>

/* Not every system can wait for standard input and sockets together: a thread fills this. */
struct input {
    std::mutex mutex;
    std::queue<std::string> lines;
    bool ended = false;

    static void read(std::shared_ptr<input> self) {
        std::string line;
        for (bool more = true; more;) {
            more = static_cast<bool>(std::getline(std::cin, line));
            std::lock_guard<std::mutex> lock(self->mutex);
            if (more) self->lines.push(line.substr(0, 1000)); /* fits a packet that needs no fragments */
            self->ended = !more;
        }
    }
};

static void print(std::string line) {
    for (char &c : line)
        if (static_cast<unsigned char>(c) < 32 || c == 127) c = '?'; /* nobody steers the terminal of others */
    std::cout << line << std::endl;
}

int main(int argc, char **argv) {
    const bool hosting = argc == 4 && std::string(argv[1]) == "host";
    if (!hosting && !(argc == 5 && std::string(argv[1]) == "join")) {
        std::cerr << "usage: chat host MASTER NAME\n       chat join MASTER HOST-IP NAME\n";
        return 2;
    }
    gmpunch::host host; /* one of them stays empty: calls on it do nothing */
    gmpunch::client client;
    gmpunch::host_config host_config;
    gmpunch::client_config client_config;
    host_config.master = client_config.master = argv[2];
    client_config.server = argv[3];
    std::error_code error;
    if (hosting) host = gmpunch::host::open(host_config, error);
    if (!hosting) client = gmpunch::client::open(client_config, error);
    if (error) {
        std::cerr << "cannot open: " << error.message() << "\n";
        return 1;
    }
    std::ios::sync_with_stdio(false); /* with it the end of the program may wait for one more line */
    const std::shared_ptr<input> in = std::make_shared<input>();
    std::thread(input::read, in).detach();

    gmpunch::event event;
    const std::chrono::milliseconds turn(20), linger(2000);
    for (auto news = std::chrono::steady_clock::now();;) {
        const bool any = hosting ? host.poll(event, turn) : client.poll(event, turn);
        if (any) news = std::chrono::steady_clock::now();
        if (any && event.type() == gmpunch::event_type::data) {
            const std::string line = event.data().str();
            print(line);
            uint32_t peers[64]; /* max_peers, unless set */
            for (uint32_t i = host.peers(peers, 64); i-- > 0;)
                if (peers[i] != event.peer()) host.send(peers[i], line);
        } else if (any) {
            const std::string who = event.peer() ? event.address().to_string() + " " : "";
            print("* " + who + gmpunch::event_name(event.type()));
            if (event.reason() != gmpunch::reason::none) print(gmpunch::reason_text(event.reason()));
            if (event.type() == gmpunch::event_type::resolve) hosting ? host.resolve() : client.resolve();
            if (event.type() == gmpunch::event_type::failed || event.type() == gmpunch::event_type::lost) return 1;
        }
        const bool company = host.peers() > 0 || client.server();
        std::lock_guard<std::mutex> lock(in->mutex);
        for (; company && !in->lines.empty(); in->lines.pop()) {
            news = std::chrono::steady_clock::now();
            const std::string line = std::string(argv[argc - 1]) + ": " + in->lines.front();
            if (hosting) host.send_all(line);
            else client.send(line);
        }
        const bool done = in->ended && in->lines.empty() && (hosting || company);
        if (done && std::chrono::steady_clock::now() - news > linger) return 0;
    }
}
