/* Loads the extension's library as GameMaker does and lets a client say something to a host through a master.
   Usage: driver LIBRARY */
#if !defined(_DEFAULT_SOURCE)
#define _DEFAULT_SOURCE
#endif
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(_WIN32)
#include <windows.h>
static HMODULE library;
static void load(const char *path) { library = LoadLibraryA(path); }
static void (*find(const char *name))(void) { return (void (*)(void))(INT_PTR)GetProcAddress(library, name); }
static void nap(void) { Sleep(2); }
#else
#include <dlfcn.h>
#include <unistd.h>
static void *library;
static void load(const char *path) { library = dlopen(path, RTLD_NOW | RTLD_LOCAL); }
static void (*find(const char *name))(void) {
    void *symbol = dlsym(library, name);
    void (*function)(void);
    memcpy(&function, &symbol, sizeof function); /* ISO C has no cast for it */
    return function;
}
static void nap(void) { usleep(2000); }
#endif

static void fail(const char *what, double result) {
    fprintf(stderr, "driver: %s: %g\n", what, result);
    exit(1);
}

static void (*get(const char *name))(void) {
    char full[64];
    void (*function)(void);
    snprintf(full, sizeof full, "gmpunch_gm_%s", name);
    function = find(full);
    if (!function) fail(full, 0);
    return function;
}

/* The signatures that are called here: D a number, S a string. */
#define D_(name) (((double (*)(void))get(name))())
#define D_D(name, a) (((double (*)(double))get(name))(a))
#define D_DD(name, a, b) (((double (*)(double, double))get(name))(a, b))
#define D_DSD(name, a, b, c) (((double (*)(double, const char *, double))get(name))(a, b, c))
#define D_DMD(name, a, b, c) (((double (*)(double, char *, double))get(name))(a, b, c))
#define D_DSS(name, a, b, c) (((double (*)(double, const char *, const char *))get(name))(a, b, c))
#define S_(name) (((const char *(*)(void))get(name))())
#define S_D(name, a) (((const char *(*)(double))get(name))(a))

static void check(const char *what, double result) {
    if (!(result > 0)) fail(what, result);
}

static double start(double kind, const char *master) {
    double config = D_D("config_create", kind), object;
    check("config_create", config);
    check("bind_address", D_DSS("config_set_text", config, "bind_address", "127.0.0.1"));
    if (kind == 4) check("any_port", D_DSD("config_set", config, "any_port", 1));
    else check("master", D_DSS("config_set_text", config, "master", master));
    if (kind == 1) check("server", D_DSS("config_set_text", config, "server", "127.0.0.1"));
    object = D_D("open", config);
    check("open", object);
    check("close", D_D("close", config));
    return object;
}

int main(int argc, char **argv) {
    double master, host, client, type, host_is_registered = 0, nonsense[] = {0, -1, 0.5, 1e300, NAN, INFINITY, -INFINITY};
    char address[32], packet[64];
    int i, steps, echoes = 0;
    if (argc != 2) return 2;
    load(argv[1]);
    if (!library) fail("the library can't be loaded", 0);
    check("is_available", D_("is_available"));
    printf("version %s\n", S_("version"));
    for (i = 0; i < (int)(sizeof nonsense / sizeof *nonsense); i++) {
        if (D_D("poll", nonsense[i]) >= 0 || D_D("close", nonsense[i]) >= 0 || *S_D("event_ip", nonsense[i]))
            fail("an id that is none", nonsense[i]);
    }
    master = start(4, "");
    snprintf(address, sizeof address, "127.0.0.1:%d", (int)D_D("local_port", master));
    host = start(2, address);
    client = 0;
    for (steps = 0; steps < 5000 && !echoes; steps++) {
        while (D_D("poll", master) > 0) continue;
        while ((type = D_D("poll", host)) > 0) {
            printf("host %s\n", S_D("event_name", type));
            if (type == 20) host_is_registered = 1;
            if (type != 1) continue;
            check("event_memory", D_DMD("event_memory", host, packet, sizeof packet));
            check("send_to", D_DD("send_to", host, D_D("event_peer", host)));
            check("send_memory", D_DSD("send_memory", host, packet, D_D("event_size", host)));
        }
        if (!client && host_is_registered) client = start(1, address);
        while (client && (type = D_D("poll", client)) > 0) {
            printf("client %s %s\n", S_D("event_name", type), S_D("event_ip", client));
            if (type == 13) fail(S_D("reason_text", D_D("event_reason", client)), 0);
            if (type != 1) continue;
            memset(packet, 0, sizeof packet);
            check("event_memory", D_DMD("event_memory", client, packet, sizeof packet - 1));
            printf("echo %s\n", packet);
            echoes = strcmp(packet, "hello") == 0;
        }
        if (client && D_D("stage", client) == 4 && steps % 50 == 0) check("send", D_DSD("send_memory", client, "hello", 5));
        nap();
    }
    check("close", D_D("close", client));
    if (D_D("close", client) >= 0) fail("closed twice", client);
    check("close_all", D_("close_all"));
    return !echoes;
}
