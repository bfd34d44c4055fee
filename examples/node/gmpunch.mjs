/* gmpunch for Node.js: UDP hole punching with the shared library of gmpunch.h and koffi (npm install koffi).

    import * as gmpunch from './gmpunch.mjs';

    const client = new gmpunch.Client({ master: '203.0.113.9', server: '198.51.100.7' });
    for await (const event of client) {
        if (event.type === gmpunch.EventType.CONNECTED) client.send('hello');
        if (event.type === gmpunch.EventType.DATA) handle(event.data);
        if (event.type === gmpunch.EventType.FAILED) console.log(event.reasonText);
    }

Host, Master and Lobby are the same. What gmpunch.h says of a function or field holds for the one of that name here, in camel
case; this is what differs:

  * for await takes events as they come, until the object is closed or has ended. A game loop takes those that are there:
    for (const event of client.events()).
  * A negative result is thrown as GmpunchError, with result, osError and a message. close() may be called twice, every
    other call on a closed object throws.
  * Events are copies and stay valid; addresses are strings ('1.2.3.4:5'), or null. Flags may be booleans.
  * log is a function (level, item, text). memory, allocator and logUser are not available, and SocketMode.SEND_ONLY is of
    no use.

The library is loaded when it is first needed: from load(path), else $GMPUNCH_LIBRARY, else where the system has it. */
import koffi from 'koffi';
import { setTimeout as pause } from 'node:timers/promises';

export const DEFAULT_PORT = 6510;
export const NEVER = 0xffffffff;
export const MAX_PACKET = 65000;
export const MASTER_MAX_BINDS = 8;
export const DATA_STRINGS = 8;
export const SORT_DATE = 0;
export const LIMIT_NONE = 0xffffffff;
export const KNOCK_LOW_PORTS = 1; // bits of knock_rules
export const KNOCK_LOCAL = 2;
export const KNOCK_NOT_PRIVATE = 4;
export const ADDRESS_TEXT_SIZE = 80;

export const Result = Object.freeze({
    OK: 0,
    ARGUMENT: -100, CONFIG: -101, ADDRESS: -102, RESERVED: -103,
    STATE: -200, NOT_CONNECTED: -201, PEER: -202, CONNECTION: -203, WOULD_BLOCK: -204,
    MEMORY: -300, FULL: -301, TOO_LONG: -302, END: -303,
    SOCKET: -400, ADDRESS_IN_USE: -401, ADDRESS_NOT_HERE: -402, ACCESS: -403, DESCRIPTORS: -404,
    MALFORMED: -500,
});

export const EventType = Object.freeze({
    NONE: 0, DATA: 1, RESOLVE: 2,
    FOUND: 10, FALLBACK: 11, CONNECTED: 12, FAILED: 13, LOST: 14, HOST_DATA: 15,
    REGISTERED: 20, UNREGISTERED: 21, INTRODUCED: 22, INTRODUCTION_EXPIRED: 23, JOINED: 24, LEFT: 25,
    HOST_ADDED: 30, HOST_REMOVED: 31, INTRODUCTION: 32, NOT_FOUND: 33,
    LOBBY_ENTRY: 40, LOBBY_DONE: 41,
});

export const Reason = Object.freeze({
    NONE: 0, RESOLVE_FAILED: 1, MASTER_UNREACHABLE: 2, MASTER_SILENT: 3, MASTER_CLOSED: 4, MASTER_MALFORMED: 5,
    HOST_NOT_FOUND: 6, HOST_SILENT: 7, HOST_ONE_WAY: 8, TIMEOUT: 9, KICKED: 10, CLOSED: 11, REPLACED: 12, SOCKET: 13,
    LIMIT: 14, VERSION: 15,
});

export const Stage = Object.freeze({ MASTER: 1, PUNCH: 2, DIRECT: 3, CONNECTED: 4, FAILED: 5, LOST: 6 });
export const How = Object.freeze({ NONE: 0, PUNCHED: 1, DIRECT: 2 });
export const SocketMode = Object.freeze({ OWN: 0, ADOPTED: 1, SEND_ONLY: 2 });
export const LogLevel = Object.freeze({ ERROR: 1, WARNING: 2, INFO: 3, DEBUG: 4 });
export const LogItem = Object.freeze({
    STAGE: 1, MASTER: 2, INTRODUCTION: 3, PEER: 4, REFUSED: 5, MALFORMED: 6, SOCKET: 7,
});

/* ---- structs: 'type field field ...' */

const LogFunction = koffi.proto('void gmpunch_log_function(void *user, int32_t level, int32_t item, const char *text)');
const types = {
    u8: 'uint8_t', u16: 'uint16_t', u32: 'uint32_t', u64: 'uint64_t', i32: 'int32_t', size: 'size_t',
    pointer: 'void *', text: 'const char *', texts: koffi.array('const char *', DATA_STRINGS),
    log: koffi.pointer(LogFunction), ip: koffi.array('uint8_t', 16), reserved: koffi.array('uint32_t', 1),
};

function struct(name, ...lines) {
    const fields = {};
    for (const line of lines) {
        const [type, ...names] = line.split(' ');
        for (const field of names) fields[field] = types[type];
    }
    return types[name] = koffi.struct(`gmpunch_${name}`, fields);
}

struct('allocator', 'pointer alloc free user');
struct('address', 'u8 family reserved', 'u16 port', 'u32 scope_id', 'ip ip');
struct('client_config',
    'u32 struct_size', 'i32 raw escape direct_only', 'text master server bind_address', 'u16 bind_port direct_port',
    'u32 socket_mode', 'size udp_socket', 'u32 timeout_ms master_timeout_ms announce_interval_ms knock_interval_ms',
    'u32 keepalive_interval_ms peer_timeout_ms max_packet max_sockets', 'i32 ask_data', 'u32 reserved', 'u64 seed',
    'pointer memory', 'size memory_size', 'allocator allocator', 'log log', 'pointer log_user os_error',
    'u32 knock_rules max_addresses');
struct('host_config',
    'u32 struct_size', 'i32 raw escape require_mediation', 'text master bind_address', 'u16 bind_port reserved',
    'u32 socket_mode', 'size udp_socket', 'texts data',
    'u32 data_capacity register_interval_ms reconnect_min_ms reconnect_max_ms keepalive_interval_ms ping_interval_ms',
    'u32 knock_interval_ms introduction_timeout_ms peer_timeout_ms idle_timeout_ms kick_ms max_peers max_introductions',
    'u32 max_packet', 'u64 seed', 'pointer memory', 'size memory_size', 'allocator allocator', 'log log',
    'pointer log_user os_error', 'u32 knock_rules max_introductions_per_ip max_knocks_per_second max_direct_peers',
    'u32 max_direct_peers_per_ip unconfirmed_ms');
struct('lobby_config',
    'u32 struct_size sort_by', 'i32 descending', 'u32 limit', 'text master bind_address', 'texts filter',
    'u32 timeout_ms max_entry max_entries reserved', 'pointer memory', 'size memory_size', 'allocator allocator',
    'log log', 'pointer log_user os_error', 'u32 max_bytes total_timeout_ms');
struct('master_config',
    'u32 struct_size', 'i32 any_port', 'text bind_address', 'u16 port reserved', 'i32 no_lobby testing', 'text name',
    'u32 hold_ms client_port_ms host_port_ms command_timeout_ms idle_timeout_ms host_timeout_ms write_timeout_ms',
    'u32 introduction_gap_ms max_connections max_connections_per_ip max_ports max_ports_per_ip max_requests',
    'u32 max_requests_per_connection max_messages max_messages_per_connection max_line max_data max_lobby',
    'u32 max_lobby_memory', 'u64 seed', 'allocator allocator', 'log log', 'pointer log_user os_error',
    'u32 max_connections_per_subnet max_waiting_connections max_commands_per_second max_lobby_memory_per_ip');
struct('event',
    'i32 type reason cause stage how', 'u32 peer', 'address address other',
    'u32 elapsed_ms announces_sent knocks_sent knocks_heard ignored', 'i32 os_error', 'u32 socket_index len',
    'pointer data', 'u64 created', 'u32 count', 'reserved reserved');
struct('peer_info',
    'u32 struct_size peer', 'address address', 'i32 how', 'u32 flags', 'i32 answers',
    'u32 socket_index connected_ms silent_ms', 'i32 confirmed');
struct('client_stats',
    'u32 struct_size announces_sent master_attempts master_answers knocks_sent knocks_heard welcomes_heard',
    'u32 keepalives_sent sockets_used strangers malformed oversized events_dropped sends_failed',
    'u32 refused_addresses');
struct('host_stats',
    'u32 struct_size peers introductions registered registrations master_attempts introduced joined left knocks_sent',
    'u32 knocks_heard welcomes_sent data_sent keepalives_sent refused_full refused_unmediated refused_kicked',
    'u32 refused_introductions strangers malformed oversized events_dropped sends_failed refused_direct refused_direct_ip',
    'u32 displaced knocks_held data_held');
struct('lobby_stats', 'u32 struct_size master_attempts entries oversized malformed reserved', 'u64 bytes');
struct('master_stats',
    'u32 struct_size connections hosts requests ports reserved',
    'u64 memory accepted registrations requested introductions portless not_found udp_received udp_ignored',
    'u64 lines_ignored refused_connections refused_connections_ip refused_ports refused_requests refused_messages',
    'u64 refused_memory closed_line closed_command closed_idle closed_host closed_write closed_version closed_full',
    'u64 events_dropped listed data_bytes lobby_bytes lobby_requests lobby_built lobby_truncated refused_data',
    'u64 refused_lobby tcp_bytes_in tcp_bytes_out udp_bytes_in refused_connections_subnet refused_connections_waiting',
    'u64 refused_commands');

/* ---- functions: name without the prefix, 'result parameter parameter ...' */

const signatures = {
    strerror: 'text i32', error_name: 'text i32', version: 'u32', version_string: 'text',
    event_name: 'text i32', reason_name: 'text i32', reason_text: 'text i32', stage_name: 'text i32', how_name: 'text i32',
    event_string: 'text pointer u32', address_parse: 'i32 text u16 pointer', address_format: 'i32 pointer pointer size',
    now: 'u64',
    client_send: 'i32 pointer pointer size', client_resolve: 'i32 pointer', client_request_data: 'i32 pointer u64',
    client_stage: 'i32 pointer', client_server: 'i32 pointer pointer pointer', client_local_address: 'i32 pointer pointer',
    host_send: 'i32 pointer u32 pointer size', host_send_all: 'i32 pointer pointer size', host_resolve: 'i32 pointer',
    host_find_peer: 'u32 pointer pointer', host_peer_info: 'i32 pointer u32 pointer', host_peers: 'i32 pointer pointer u32',
    host_kick: 'i32 pointer u64 u32', host_set_data: 'i32 pointer u32 text', host_commit_data: 'i32 pointer u64',
    host_local_address: 'i32 pointer pointer',
    lobby_resolve: 'i32 pointer',
    master_local_address: 'i32 pointer u32 pointer',
};
for (const kind of ['client', 'host', 'lobby', 'master']) {
    types[`${kind}_config_pointer`] = koffi.pointer(types[`${kind}_config`]);
    Object.assign(signatures, {
        [`${kind}_open`]: `i32 ${kind}_config_pointer pointer`, [`${kind}_close`]: 'void pointer',
        [`${kind}_poll`]: 'i32 pointer pointer u32', [`${kind}_get_stats`]: 'i32 pointer pointer',
        [`${kind}_os_error`]: 'i32 pointer',
    });
}
types.void = 'void';

let functions;

/** Loads the shared library: from this path, else $GMPUNCH_LIBRARY, else where the system has it. */
export function load(path = process.env.GMPUNCH_LIBRARY) {
    const names = { win32: 'gmpunch.dll', darwin: 'libgmpunch.dylib' };
    const library = koffi.load(path ?? names[process.platform] ?? 'libgmpunch.so.0');
    const entries = Object.entries(signatures).map(([name, signature]) => {
        const [result, ...parameters] = signature.split(' ').map((type) => types[type]);
        return [name, library.func(`gmpunch_${name}`, result, parameters)];
    });
    functions = Object.fromEntries(entries);
}

/* The functions of C. */
function c() {
    if (!functions) load();
    return functions;
}

/* For the tests, which compare all this with C. */
export const declarations = { types, functions: c };

/** Version of the library. */
export const version = () => c().version_string();
export const strerror = (result) => c().strerror(result);
export const errorName = (result) => c().error_name(result);
export const eventName = (type) => c().event_name(type);
export const reasonName = (reason) => c().reason_name(reason);
export const reasonText = (reason) => c().reason_text(reason);
export const stageName = (stage) => c().stage_name(stage);
export const howName = (how) => c().how_name(how);

export class GmpunchError extends Error {
    /** @param {number} result one of Result @param {number} osError the system's number, 0 if it had no part in it */
    constructor(result, osError = 0) {
        super(strerror(result) + (osError ? ` (os error ${osError})` : ''));
        this.name = 'GmpunchError';
        this.result = result;
        this.osError = osError;
        this.code = errorName(result);
    }
}

function check(result) {
    if (result < 0) throw new GmpunchError(result);
    return result;
}

/* ---- from JavaScript to C and back. koffi ends the process for some values that do not fit, so all are checked here. */

const snake = (name) => name.replace(/[A-Z]/g, (letter) => '_' + letter.toLowerCase());
const camel = (name) => name.replace(/_([a-z])/g, (_, letter) => letter.toUpperCase());

function integer(value, type, what) {
    if (!['number', 'bigint', 'boolean'].includes(typeof value)) throw new TypeError(`${what} is no number: ${value}`);
    const given = BigInt(value); // throws for what is not whole
    const fits = type.primitive.startsWith('U') ? BigInt.asUintN(type.size * 8, given) : BigInt.asIntN(type.size * 8, given);
    if (fits !== given) throw new RangeError(`${what} is out of range: ${value}`);
    return given;
}

const u32 = (value, what) => Number(integer(value, koffi.type('uint32_t'), what));

function text(value, what) {
    if (value === null || value === undefined) return null;
    if (typeof value !== 'string' || value.includes('\0')) throw new TypeError(`${what} is no string without NUL: ${value}`);
    return value;
}

function bytes(data) {
    if (typeof data === 'string') return Buffer.from(data);
    if (data instanceof Uint8Array) return data;
    throw new TypeError('data is neither a string nor a Uint8Array');
}

function native(type, given) {
    const config = { struct_size: type.size };
    for (const [key, value] of Object.entries(given)) {
        const field = type.members[snake(key)]?.type;
        if (value === undefined || key === 'log') continue;
        if (field?.primitive === 'String') config[snake(key)] = text(value, key);
        else if (field?.primitive === 'Array') config[snake(key)] = [...value].map((string) => text(string, key));
        else if (/^U?Int/.test(field?.primitive)) config[snake(key)] = integer(value, field, key);
        else throw new TypeError(`there is no config field ${key}`);
        if (field.length < config[snake(key)].length) throw new RangeError(`${key} has more than ${field.length} strings`);
    }
    return config;
}

/* Calls use(pointer) with memory for a value of this type. */
function scratch(type, use) {
    const memory = koffi.alloc(type, 1);
    try {
        return use(memory);
    } finally {
        koffi.free(memory);
    }
}

/* A struct that C fills, as an object. */
function filled(type, fill) {
    return scratch(type, (memory) => {
        koffi.encode(memory, 'uint32_t', type.size); // struct_size
        fill(memory);
        const fields = Object.entries(koffi.decode(memory, type)).map(([name, value]) => [camel(name), value]);
        const { structSize, reserved, ...rest } = Object.fromEntries(fields);
        return rest;
    });
}

function formatAddress(address) {
    if (koffi.decode(address, 'uint8_t') === 0) return null; // family
    const buffer = Buffer.alloc(ADDRESS_TEXT_SIZE);
    return buffer.toString('utf8', 0, check(c().address_format(address, buffer, buffer.length)));
}

const addressFrom = (fill) => scratch(types.address, (address) => {
    fill(address);
    return formatAddress(address);
});

/** The usual form of an address; throws for what is none. */
export const address = (given, defaultPort = 0) => addressFrom(parsing(given, defaultPort));

const parsing = (given, defaultPort = 0) => (address) =>
    check(c().address_parse(text(given, 'address'), Number(integer(defaultPort, koffi.type('uint16_t'), 'port')), address));

const offset = (field) => BigInt(koffi.offsetof(types.event, field));
const stringEvents = [EventType.HOST_DATA, EventType.LOBBY_ENTRY];

/* A copy; what an event does not name is 0, null or empty. */
function copyEvent(memory) {
    const event = koffi.decode(memory, types.event);
    return {
        type: event.type, reason: event.reason, cause: event.cause, stage: event.stage, how: event.how,
        name: eventName(event.type), reasonText: reasonText(event.reason), peer: event.peer,
        address: formatAddress(memory + offset('address')), other: formatAddress(memory + offset('other')),
        elapsedMs: event.elapsed_ms, announcesSent: event.announces_sent, knocksSent: event.knocks_sent,
        knocksHeard: event.knocks_heard, ignored: event.ignored, osError: event.os_error, socketIndex: event.socket_index,
        data: event.len ? Buffer.from(koffi.decode(event.data, 'uint8_t', event.len)) : Buffer.alloc(0),
        created: event.created, count: event.count,
        strings: stringEvents.includes(event.type)
            ? Array.from({ length: DATA_STRINGS }, (_, index) => c().event_string(memory, index + 1)) : [],
    };
}

/* ---- client, host, lobby, master */

const finalEvents = [EventType.FAILED, EventType.LOST, EventType.LOBBY_DONE];

function release({ kind, handle, event, log }) {
    c()[`${kind}_close`](handle);
    koffi.free(event);
    if (log) koffi.unregister(log);
}

const forgotten = new FinalizationRegistry(release);

class Punch {
    #kind;
    #native; // what release() takes; null when closed

    constructor(kind, config) {
        const given = native(types[`${kind}_config`], config);
        if (config.log) given.log = koffi.register(Punch.#logging(config.log), types.log);
        const { result, handle, osError } = scratch('void *', (handle) => scratch('int32_t', (osError) => {
            koffi.encode(osError, 'int32_t', 0);
            const result = c()[`${kind}_open`]({ ...given, os_error: osError }, handle);
            return { result, handle: koffi.decode(handle, 'void *'), osError: koffi.decode(osError, 'int32_t') };
        }));
        if (result < 0) {
            if (given.log) koffi.unregister(given.log);
            throw new GmpunchError(result, osError);
        }
        this.#kind = kind;
        this.#native = { kind, handle, event: koffi.alloc(types.event, 1), log: given.log };
        forgotten.register(this, this.#native, this);
    }

    /* An exception can't pass through C, so it is thrown afterwards, from nowhere. */
    static #logging(log) {
        return (_user, level, item, message) => {
            try {
                log(level, item, message);
            } catch (error) {
                queueMicrotask(() => { throw error; });
            }
        };
    }

    /** @protected Calls the function of this kind and throws a negative result. */
    call(name, ...parameters) {
        const handle = this.#native?.handle ?? null;
        const result = c()[`${this.#kind}_${name}`](handle, ...parameters);
        if (result < 0) throw new GmpunchError(result, handle ? c()[`${this.#kind}_os_error`](handle) : 0);
        return result;
    }

    close() {
        if (!this.#native) return;
        forgotten.unregister(this);
        release(this.#native);
        this.#native = null;
    }

    [Symbol.dispose]() { this.close(); }

    get closed() { return this.#native === null; }

    /** Does all that is due. Returns an event, after waiting (and blocking) for at most timeoutMs, or null. */
    poll(timeoutMs = 0) {
        const memory = this.#native?.event ?? null;
        return this.call('poll', memory, u32(timeoutMs, 'timeoutMs')) > 0 ? copyEvent(memory) : null;
    }

    /** All events that are there, after waiting (and blocking) for the first for at most timeoutMs. */
    *events(timeoutMs = 0) {
        for (let event; !this.closed && (event = this.poll(timeoutMs)); timeoutMs = 0) yield event;
    }

    /** Events as they come, until the object is closed or has ended; looks for them every intervalMs. */
    async *listen(intervalMs = 5) {
        while (!this.closed) {
            for (const event of this.events()) {
                yield event;
                if (finalEvents.includes(event.type)) return;
            }
            await pause(intervalMs);
        }
    }

    [Symbol.asyncIterator]() { return this.listen(); }

    /** The counters. */
    stats() {
        return filled(types[`${this.#kind}_stats`], (stats) => this.call('get_stats', stats));
    }
}

/** Joins a host. */
export class Client extends Punch {
    constructor(config) { super('client', config); }

    /** @param {string | Uint8Array} data */
    send(data) {
        const packet = bytes(data);
        this.call('send', packet, packet.length);
    }

    /** For EventType.RESOLVE; may block. */
    resolve() { this.call('resolve'); }

    /** Asks for the host's data strings: EventType.HOST_DATA. */
    requestData() { this.call('request_data', c().now()); }

    /** One of Stage. */
    get stage() { return this.call('stage'); }

    /** The connected host's address. */
    get server() { return addressFrom((address) => this.call('server', address, null)); }

    get localAddress() { return addressFrom((address) => this.call('local_address', address)); }
}

/** Lets clients join. */
export class Host extends Punch {
    constructor(config) { super('host', config); }

    /** @param {number} peer @param {string | Uint8Array} data */
    send(peer, data) {
        const packet = bytes(data);
        this.call('send', u32(peer, 'peer'), packet, packet.length);
    }

    /** Sends to each connected peer; returns to how many it went. @param {string | Uint8Array} data */
    sendAll(data) {
        const packet = bytes(data);
        return this.call('send_all', packet, packet.length);
    }

    /** For EventType.RESOLVE; may block. */
    resolve() { this.call('resolve'); }

    /** The ids of the connected peers. */
    peers() {
        const ids = new Uint32Array(this.call('peers', null, 0));
        this.call('peers', ids, ids.length);
        return [...ids];
    }

    peer(id) {
        let address;
        const info = filled(types.peer_info, (memory) => {
            this.call('peer_info', u32(id, 'peer'), memory);
            address = formatAddress(memory + BigInt(koffi.offsetof(types.peer_info, 'address')));
        });
        return { ...info, address, answers: info.answers !== 0, confirmed: info.confirmed !== 0 };
    }

    /** The id of the peer with this address, 0 if there is none. */
    findPeer(address) {
        return scratch(types.address, (memory) => {
            parsing(address)(memory);
            return this.call('find_peer', memory);
        });
    }

    kick(peer) { this.call('kick', c().now(), u32(peer, 'peer')); }

    /** Changes data string 1 to 8; the master gets it with commitData. */
    setData(number, string) { this.call('set_data', u32(number, 'number'), text(string, 'data')); }

    commitData() { this.call('commit_data', c().now()); }

    get localAddress() { return addressFrom((address) => this.call('local_address', address)); }
}

/** Lists the hosts that a master knows: LOBBY_ENTRY for each, and at last LOBBY_DONE or FAILED. */
export class Lobby extends Punch {
    constructor(config) { super('lobby', config); }

    /** For EventType.RESOLVE; may block. */
    resolve() { this.call('resolve'); }
}

/** Introduces clients to hosts. */
export class Master extends Punch {
    constructor(config = {}) { super('master', config); }

    /** Of bind number `index`. */
    localAddress(index = 0) { return addressFrom((address) => this.call('local_address', u32(index, 'index'), address)); }
}
