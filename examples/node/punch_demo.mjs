/* Master, host, client and a lobby list in one process, on real sockets. Prints what came back to the client.

    npm install && node punch_demo.mjs

Builds the shared library with cc unless GMPUNCH_LIBRARY names one. */
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import * as gmpunch from './gmpunch.mjs';

const { EventType } = gmpunch;
const IP = '127.0.0.1';

if (!process.env.GMPUNCH_LIBRARY)
    gmpunch.load(execFileSync(fileURLToPath(new URL('../shared_library.sh', import.meta.url)), { encoding: 'utf8' }).trim());

setTimeout(() => {
    console.error('the demo did not come to its end');
    process.exit(1);
}, 15000).unref();

const master = new gmpunch.Master({ bindAddress: IP, anyPort: true });
const host = new gmpunch.Host({ master: master.localAddress(), bindAddress: IP, data: ['demo', 'Node.js'] });

async function list() {
    const lobby = new gmpunch.Lobby({ master: master.localAddress(), filter: ['demo'] });
    for await (const event of lobby) {
        if (event.type === EventType.LOBBY_ENTRY) console.log('lobby:', event.address, ...event.strings.filter(Boolean));
        if (event.type === EventType.FAILED) throw new Error(event.reasonText);
    }
    lobby.close();
}

async function join() {
    const client = new gmpunch.Client({ master: master.localAddress(), server: IP, bindAddress: IP });
    for await (const event of client) {
        if (event.type === EventType.CONNECTED) {
            console.log('connected to', event.address, gmpunch.howName(event.how));
            client.send('hello from Node.js');
        }
        if (event.type === EventType.DATA) {
            console.log('echo:', event.data.toString());
            client.close();
        }
        if (event.type === EventType.FAILED || event.type === EventType.LOST) throw new Error(event.reasonText);
    }
}

async function echo() {
    for await (const event of host) if (event.type === EventType.DATA) host.send(event.peer, event.data);
}

async function serve() {
    for await (const event of master) {
        if (event.type !== EventType.HOST_ADDED) continue;
        Promise.all([list(), join()]).finally(() => {
            host.close();
            master.close();
        });
    }
}

await Promise.all([echo(), serve()]);
