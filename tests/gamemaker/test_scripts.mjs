// Runs the project's GML (runner.mjs). Usage: node test_scripts.mjs PROJECT LIBRARY
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { Game } from './runner.mjs';

const [project, library] = process.argv.slice(2);
const LIMIT = 20000; // ms, for anything
let games = [];
let master;

const start = () => {
	const game = new Game(project, library);
	games.push(game);
	return game;
};

async function until(condition, what, onNetworking) {
	const end = Date.now() + LIMIT;
	while (!condition()) {
		assert.ok(Date.now() < end, `waited for ${what}: ${JSON.stringify(games.map((g) => g.messages))}`);
		await sleep(3);
		while (master.gmpunch_poll(master.id) > 0) continue;
		for (const game of games) game.step(onNetworking && (() => onNetworking(game)));
	}
}

// A game with the demo's menu, which knows the master of this test.
function demo() {
	const game = start();
	const menu = game.create('obj_menu');
	menu.master_port = master.port;
	menu.name = 'the demo';
	return { game, menu };
}

const press = (game, ...keys) => keys.forEach((key) => game.keys.add(typeof key === 'string' ? key.charCodeAt(0) : key));
const instance = (game, object) => game.instances.find((i) => i.object === object)?.self;

const tests = {
	async 'the demo: lobby, host, client, each on both kinds of sockets'() {
		for (const [hostKey, hostObject] of [['H', 'obj_host'], ['U', 'obj_udphp_host']]) {
			for (const [shift, clientObject] of [[[], 'obj_client'], [[16], 'obj_udphp_client']]) {
				const { game: a } = demo();
				const { game: b, menu } = demo();
				press(a, hostKey);
				await until(() => master.gmpunch_stat(master.id, 'listed') === 1, `${hostObject} in the lobby`);
				press(b, 'L');
				await until(() => menu.hosts.length === 1, 'the list');
				assert.equal(menu.status, '1 hosts');
				assert.equal(menu.hosts[0].name, 'the demo');
				assert.equal(menu.lobby, -1);
				press(b, '1', ...shift);
				await until(() => instance(b, clientObject)?.answer === 'hello 2 to 1', `${clientObject} at ${hostObject}`);
				if (clientObject === 'obj_client') assert.equal(instance(b, clientObject).status, 'connected with the demo');
				else await until(() => b.globals.global.udphp_tmp_data2 === 'the demo', 'the data strings');
				for (const game of [a, b]) for (const object of [hostObject, clientObject, 'obj_menu']) game.destroy(object);
				await until(() => master.gmpunch_stat(master.id, 'hosts') === 0, 'the end of the host');
				for (const game of [a, b]) assert.deepEqual({ ...game.left(), list: 0 }, { list: 0 }); // the list of downloads may be there
				games = [];
			}
		}
	},

	async 'the demo runs a master itself'() {
		const { game, menu } = demo();
		press(game, 'M');
		menu.master_port = 16510 + Math.floor(Math.random() * 10000);
		await until(() => menu.local_master !== -1, 'the key');
		assert.ok(menu.local_master > 0, menu.status);
		assert.equal(game.globals.gmpunch_local_port(menu.local_master), menu.master_port);
		game.destroy('obj_menu');
	},

	async 'udphp: a game of GMnet PUNCH'() {
		const server = start();
		const client = start();
		const s = server.globals;
		const c = client.globals;
		const inbox = [];
		for (const g of [s, c]) g.udphp_config('127.0.0.1', master.port, 60, 600, true, false, false, true);
		const players = s.ds_list_create();
		const buffer = s.buffer_create(100, s.buffer_grow, 1);
		const udp = s.network_create_server(s.network_socket_udp, 0, 32);
		s.udphp_serverSetData(1, 'the game');
		assert.equal(s.udphp_createServer(udp, buffer, players, 6510), true);
		assert.equal(s.udphp_createServer(udp, buffer, players, 6510), false); // there is one already
		s.udphp_serverSetData(8, 'ünïcode');
		s.udphp_serverSetData(2, 'no\nline feed'); // an error, told
		assert.match(server.messages.at(-1), /data string 2/);
		s.udphp_serverSetData(2, '');

		const onNetworking = (game) => {
			const g = game.globals;
			if (game === server) {
				g.udphp_serverNetworking();
				const name = `${g.ds_map_find_value(g.async_load, 'ip')}:${g.ds_map_find_value(g.async_load, 'port')}`;
				const packet = g.ds_map_find_value(g.async_load, 'buffer');
				if (g.ds_list_find_index(players, name) >= 0 && packet && g.buffer_peek(packet, 0, g.buffer_u8) < 128) inbox.push(g.buffer_read(packet, g.buffer_string));
			} else {
				g.udphp_downloadNetworking();
				if (id > 0) g.udphp_clientNetworking(id);
			}
		};
		let id = 0;
		let alive = true;
		const run = (condition, what) => until(() => {
			s.udphp_serverPunch();
			if (id > 0) alive = c.udphp_clientPunch(id);
			return condition();
		}, what, onNetworking);

		// lobby
		await run(() => master.gmpunch_stat(master.id, 'listed') === 1, 'the server in the lobby');
		for (const [filters, found] of [[['the game'], 1], [['another game'], 0], [['', '', '', '', '', '', '', 'ünïcode'], 1]]) {
			c.udphp_downloadServerList('', 'date', 'DESC', ...filters);
			assert.equal(c.global.udphp_downloadlist_refreshing, true);
			await run(() => !c.global.udphp_downloadlist_refreshing, 'the list');
			assert.equal(c.ds_list_size(c.global.udphp_downloadlist), found);
		}
		c.udphp_downloadServerList(5, 'data1', 'ASC');
		c.udphp_downloadServerList(); // asked again before the first answer
		await run(() => !c.global.udphp_downloadlist_refreshing, 'the list');
		const entry = c.ds_list_find_value(c.global.udphp_downloadlist, 0);
		assert.equal(c.ds_map_find_value(entry, 'ip'), '127.0.0.1');
		assert.equal(c.ds_map_find_value(entry, 'data1'), 'the game');
		assert.equal(c.ds_map_find_value(entry, 'data8'), 'ünïcode');
		assert.ok(Math.abs(c.ds_map_find_value(entry, 'createdTime') - Date.now() / 1000) < 60);

		// no such client
		assert.equal(c.udphp_clientPunch(5), false);
		assert.equal(c.udphp_clientIsConnected(5), false);
		assert.equal(c.udphp_clientGetServerIP(5), -1);
		assert.equal(c.udphp_clientGetServerPort(5), -1);
		c.udphp_clientReadData(5);
		c.udphp_stopClient(5);

		// joining
		const out = c.buffer_create(100, c.buffer_grow, 1);
		const socket = c.network_create_socket(c.network_socket_udp);
		assert.ok(c.udphp_createClient(socket, 'no address', out, false, 0) < 0);
		id = c.udphp_createClient(socket, '127.0.0.1', out, false, 0);
		assert.ok(id > 0);
		assert.equal(c.udphp_clientIsConnected(id), false);
		assert.equal(c.udphp_clientGetServerPort(id), -1);
		await run(() => c.udphp_clientIsConnected(id) && s.ds_list_size(players) === 1, 'the connection');
		assert.ok(alive);
		assert.equal(c.udphp_clientGetServerIP(id), '127.0.0.1');
		const name = s.ds_list_find_value(players, 0);
		assert.equal(s.udphp_playerListIP(name), '127.0.0.1');
		assert.equal(`127.0.0.1:${s.udphp_playerListPort(name)}`, name);
		assert.equal(s.udphp_playerListIP('2001:db8::1:77'), '2001:db8::1');
		c.udphp_clientReadData(id);
		await run(() => c.global.udphp_tmp_data1 === 'the game', 'the data strings');
		s.udphp_serverSetData(1, 'renamed');
		s.udphp_serverCommitData();
		c.buffer_write(out, c.buffer_string, 'moved over');
		c.network_send_udp(socket, c.udphp_clientGetServerIP(id), c.udphp_clientGetServerPort(id), out, c.buffer_tell(out));
		await run(() => inbox.length > 0, 'a packet');
		assert.deepEqual(inbox, ['moved over']);

		// a second one directly, then failing ones
		const second = c.network_create_socket(c.network_socket_udp);
		const port = server.get(udp, 'socket').socket.address().port;
		const first = id;
		id = c.udphp_createClient(second, '127.0.0.1', out, true, port);
		await run(() => c.udphp_clientIsConnected(id) && s.ds_list_size(players) === 2, 'the direct connection');
		c.udphp_stopClient(id);
		assert.equal(c.udphp_clientPunch(id), false);
		id = c.udphp_createClient(second, '192.0.2.1', out, false, 0);
		await run(() => !alive, 'failure');
		assert.match(client.messages.at(-1), /no such game/);
		for (const one of [id, first]) c.udphp_stopClient(one);
		id = 0;
		s.udphp_stopServer();
		s.udphp_stopServer();
		assert.equal(s.ds_list_size(players), 2); // the list stays, as it was
		assert.deepEqual(server.left(), { list: 2, buffer: 1 }); // also the list of downloads
		assert.deepEqual(client.left(), { list: 1, map: 1, buffer: 1, socket: 2 });
	},

	async 'gmpunch_io: names, escape, several source ports, all peers'() {
		const a = start();
		const b = start();
		const [h, c] = [a.globals, b.globals];
		const sockets = [a.udp(0), b.udp(0)];
		const where = `localhost:${master.port}`;
		const host = h.gmpunch_io_create(h.GMPUNCH_KIND_HOST, { master: where, escape: true }, sockets[0]);
		const events = [];
		let client;
		const got = new Map([[a, []], [b, []]]);
		const onNetworking = (game) => {
			const io = game === a ? host : client;
			if (!io || game.globals.gmpunch_io_networking(io) !== game.globals.GMPUNCH_INPUT_GAME) return;
			const data = game.get(game.globals.ds_map_find_value(game.globals.async_load, 'buffer'), 'buffer').data;
			got.get(game).push(data.subarray(game.globals.gmpunch_input_offset(io.object)).toString('latin1'));
		};
		const run = (condition, what) => until(() => {
			for (const [game, io] of [[h, host], [c, client]]) {
				if (!io) continue;
				game.gmpunch_io_step(io);
				for (let e = game.gmpunch_next_event(io.object); e !== undefined; e = game.gmpunch_next_event(io.object)) events.push(e.name);
			}
			return condition();
		}, what, onNetworking);
		await run(() => events.includes('registered'), 'the host');
		client = c.gmpunch_io_create(c.GMPUNCH_KIND_CLIENT, { master: where, server: 'localhost', escape: true, max_sockets: 3 }, sockets[1]);
		assert.ok(client.object > 0, c.gmpunch_error_text(client.object));
		await run(() => events.includes('connected') && events.includes('joined'), 'the connection');
		assert.deepEqual(h.gmpunch_peers(host.object).length, 1);
		const buffer = [a, b].map((game) => game.add({ kind: 'buffer', data: Buffer.from([0xfd, 0x41]), tell: 1 }));
		assert.equal(c.gmpunch_io_send(client, buffer[1]), 1); // one byte that looks like a knock
		await run(() => got.get(a).length > 0, 'a packet');
		assert.deepEqual(got.get(a), ['\xfd']);
		assert.equal(h.gmpunch_io_host_send(host, h.gmpunch_peers(host.object)[0], buffer[0], 2), 1);
		await run(() => got.get(b).length > 0, 'a packet');
		assert.equal(h.gmpunch_io_host_send_all(host, buffer[0], 1), 1);
		await run(() => got.get(b).length > 1, 'another');
		assert.deepEqual(got.get(b), ['\xfdA', '\xfd']);
		h.gmpunch_io_close(host);
		c.gmpunch_io_close(client);
		h.gmpunch_io_close(host);
		for (const game of [a, b]) assert.deepEqual(game.left(), { socket: 1, buffer: 1 });

		// several source ports: a host that stays mute
		const mute = c.gmpunch_io_create(c.GMPUNCH_KIND_CLIENT, { master: where, server: '127.0.0.1', direct_only: true, direct_port: 9, timeout_ms: 3000, max_sockets: 3 }, sockets[1]);
		await until(() => {
			c.gmpunch_io_step(mute);
			return c.gmpunch_poll(mute.object) === c.GMPUNCH_EVENT_FAILED;
		}, 'failure');
		const used = c.gmpunch_stat(mute.object, 'sockets_used');
		assert.equal(mute.sockets.length, used);
		c.gmpunch_io_close(mute);
		assert.deepEqual(b.left(), { socket: 1, buffer: 1 });
	},

	async 'settings that are none'() {
		const { globals: g } = start();
		assert.equal(g.gmpunch_client_open({ mastre: 'typo' }), g.GMPUNCH_ERR_CONFIG);
		assert.equal(g.gmpunch_client_open({ timeout_ms: -1 }), g.GMPUNCH_ERR_ARGUMENT);
		assert.ok(g.gmpunch_client_open({}) < 0);
		const io = g.gmpunch_io_create(g.GMPUNCH_KIND_CLIENT, { master: 'localhost', server: 'unknown.example' }, -1);
		assert.ok(io.object < 0);
		g.gmpunch_io_close(io);
		assert.equal(g.gmpunch_next_event(-1), undefined);
	},
};

const { globals } = new Game(project, library);
let failed = 0;
for (const [name, test] of Object.entries(tests)) {
	const id = globals.gmpunch_master_open({ any_port: true, bind_address: '127.0.0.1' });
	master = { id, port: globals.gmpunch_local_port(id), gmpunch_poll: globals.gmpunch_poll, gmpunch_stat: globals.gmpunch_stat };
	games = [];
	try {
		await test();
		console.log(`ok ${name}`);
	} catch (error) {
		failed++;
		console.log(`FAILED ${name}\n${error.stack}`);
	}
	globals.gmpunch_close_all();
}
process.exit(failed ? 1 : 0); // sockets of a failed test may still be open
