/* What examples/node/gmpunch.mjs promises beyond the demo. The argument is the path of that file. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { pathToFileURL } from 'node:url';

const gmpunch = await import(pathToFileURL(process.argv[2]));
const { Client, EventType, Host, Lobby, Master } = gmpunch;
const IP = '127.0.0.1';

const fails = (code, call) => assert.throws(call, { name: 'GmpunchError', code, result: gmpunch.Result[code] });

function eventsUntil(host, client, last) {
    const events = [], end = Date.now() + 15000;
    while (!events.some((event) => event.type === last)) {
        assert(Date.now() < end, JSON.stringify(events));
        events.push(...host.events(1), ...client.events(1));
    }
    return events;
}

// Fields are checked: koffi would end the process for some of these.
for (const config of [{ servr: IP }, { server: 5 }, { server: 'a\0b' }, { timeoutMs: 'x' }, { memory: 1n }, { allocator: {} }])
    assert.throws(() => new Client(config), TypeError, JSON.stringify(Object.keys(config)));
for (const config of [{ bindPort: 70000 }, { timeoutMs: -1 }, { timeoutMs: 1.5 }, { seed: -1n }, { seed: 2n ** 64n }])
    assert.throws(() => new Client({ server: IP, ...config }), RangeError);
assert.throws(() => new Host({ data: Array(9).fill('x') }), RangeError);
fails('CONFIG', () => new Client({}));

const logged = [];
const host = new Host({
    bindAddress: IP, data: ['größe', null, '3'], kickMs: gmpunch.NEVER, log: (...entry) => logged.push(entry),
});
const port = Number(host.localAddress.split(':')[1]);
assert.throws(() => new Host({ bindAddress: IP, bindPort: port, log() {} }), (error) => error.code === 'ADDRESS_IN_USE' &&
    error.osError !== 0 && error.message.includes(`os error ${error.osError}`));

const client = new Client({ server: IP, directOnly: true, directPort: port, askData: true, seed: 2n ** 64n - 1n });
const events = eventsUntil(host, client, EventType.HOST_DATA);
const joined = events.find((event) => event.type === EventType.JOINED);
assert.deepEqual(events.at(-1).strings, ['größe', '', '3', '', '', '', '', '']);
assert.deepEqual(host.peers(), [joined.peer]);
const peer = host.peer(joined.peer);
assert.deepEqual([peer.peer, peer.address, peer.how], [joined.peer, joined.address, gmpunch.How.DIRECT]);
assert.equal(host.findPeer(peer.address), joined.peer);
assert.deepEqual([client.stage, client.server], [gmpunch.Stage.CONNECTED, host.localAddress]);
assert.equal(host.stats().peers, 1);
assert(client.stats().welcomesHeard > 0);
fails('PEER', () => host.peer(12345));
fails('RESERVED', () => client.send(Buffer.from([0xfd])));
assert.throws(() => client.send(5), TypeError);
assert.throws(() => host.send(-1, 'x'), RangeError);
client.send('a\0b');
assert.deepEqual(eventsUntil(host, client, EventType.DATA).at(-1).data, Buffer.from('a\0b'));
assert.equal(host.sendAll(new Uint8Array([1, 2])), 1);
assert.deepEqual(eventsUntil(host, client, EventType.DATA).at(-1).data, Buffer.from([1, 2]));
host.setData(8, 'new');
host.commitData();
fails('ARGUMENT', () => host.setData(9, 'x'));
host.kick(joined.peer);
const left = eventsUntil(host, client, EventType.LEFT).at(-1);
assert.deepEqual([left.name, left.reason, left.reasonText],
    ['left', gmpunch.Reason.KICKED, 'The peer was removed by the host.']);
assert(logged.some(([, item]) => item === gmpunch.LogItem.PEER));

// Closed objects.
for (const opened of [host, client, new Master({ bindAddress: IP, anyPort: true }), new Lobby({ master: IP })]) {
    opened.close();
    opened.close();
    fails('ARGUMENT', () => opened.poll());
    fails('ARGUMENT', () => opened.stats());
    assert.deepEqual([...opened.events()], []);
    for await (const event of opened) assert.fail(event.name);
}
fails('ARGUMENT', () => client.requestData());

// What a log function throws comes after the call.
const noisy = new Host({ bindAddress: IP, log() { throw new Error('from log'); } });
new Client({ server: IP, directOnly: true, directPort: Number(noisy.localAddress.split(':')[1]) }).poll();
const thrown = once(process, 'uncaughtException');
noisy.poll(1000);
assert.equal((await thrown)[0].message, 'from log');
noisy.close();

assert.equal(gmpunch.address('[2001:DB8:0::1]:7'), '[2001:db8::1]:7');
assert.equal(gmpunch.address('1.2.3.4', 5), '1.2.3.4:5');
fails('ADDRESS', () => gmpunch.address('x'));
