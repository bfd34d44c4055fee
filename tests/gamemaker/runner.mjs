// A small GameMaker: enough of its functions to run the project's GML, with real sockets and the extension's real library. The GML
// of this project is written so that it is also JavaScript, but for `constructor`.
// Needs koffi, so it is run from a copy in a directory that has it.
import koffi from 'koffi';
import { createSocket } from 'node:dgram';
import { readdirSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import vm from 'node:vm';

const MAGIC = 0xdeadc0de;
const NAMES = { Create_0: 'create', Step_0: 'step', Other_68: 'networking', Draw_64: 'draw', CleanUp_0: 'cleanup' };

export const readYy = (path) => {
	const strings = [];
	const text = readFileSync(path, 'utf8').replace(/"(?:[^"\\]|\\.)*"/g, (s) => `"${strings.push(s) - 1}"`);
	return JSON.parse(text.replace(/,(\s*[}\]])/g, '$1').replace(/"(\d+)"/g, (_, n) => strings[n]));
};

const need = (condition, what) => {
	if (!condition) throw new Error(`GameMaker would stop here: ${what}`);
};

class Pointer {
	constructor(data) { this.data = data; }
}

export class Game {
	constructor(project, library) {
		this.items = new Map(); // of all kinds: buffers, lists, maps, sockets, time sources
		this.nextId = 1000;     // each id means one thing, so that no mix-up stays unseen
		this.news = [];         // networking events to come
		this.instances = [];
		this.keys = new Set();
		this.messages = [];     // show_debug_message
		this.globals = { ...this.functions(), global: {}, async_load: -1 };
		this.sandbox = vm.createContext(this.globals);
		this.load(project, library);
	}

	load(project, library) {
		const file = readYy(join(project, 'extensions/gmpunch/gmpunch.yy')).files[0];
		const native = koffi.load(library);
		for (const f of file.functions) {
			const types = f.args.map((kind) => (kind === 1 ? 'void *' : 'double'));
			const call = native.func(f.externalName, f.returnType === 1 ? 'str' : 'double', types);
			this.globals[f.name] = (...values) => {
				need(values.length === f.argCount, `${f.name} takes ${f.argCount} arguments`);
				return call(...values.map((value, i) => this.toNative(f.name, value, f.args[i])));
			};
		}
		for (const c of file.constants) this.globals[c.name] = Number(c.value);
		this.objects = {};
		for (const name of readdirSync(join(project, 'objects'))) {
			this.objects[name] = {};
			for (const [event, key] of Object.entries(NAMES)) {
				const path = join(project, 'objects', name, `${event}.gml`);
				let code;
				try { code = readFileSync(path, 'utf8'); } catch { continue; }
				this.objects[name][key] = vm.runInContext(`(function (self) { with (self) { ${code}\n} })`, this.sandbox, path);
			}
			// The name of an object is also its first instance.
			this.globals[name] = new Proxy({ objectName: name }, {
				get: (target, key) => (key === 'objectName' ? name : this.instances.find((i) => i.object === name).self[key]),
			});
		}
		for (const name of readdirSync(join(project, 'scripts'))) {
			const path = join(project, 'scripts', name, `${name}.gml`);
			const code = readFileSync(path, 'utf8').replace(/\)\s*constructor\s*\{/g, ') { const self = this;');
			vm.runInContext(code, this.sandbox, path);
		}
	}

	toNative(name, value, kind) {
		if (kind === 2) {
			need(typeof value === 'number' || typeof value === 'boolean', `${name}: ${value} is no number`);
			return Number(value);
		}
		if (value instanceof Pointer) return value.data;
		need(typeof value === 'string', `${name}: ${value} is no string`);
		return Buffer.from(`${value}\0`);
	}

	add(item) {
		this.items.set(this.nextId, item);
		return this.nextId++;
	}

	get(id, kind) {
		const item = this.items.get(id);
		need(item?.kind === kind, `${id} is no ${kind}`);
		return item;
	}

	remove(id, kind) {
		this.get(id, kind);
		this.items.delete(id);
	}

	// ---- sockets

	udp(port, server) {
		const socket = createSocket('udp4');
		const id = this.add({ kind: 'socket', socket });
		socket.on('error', () => {});
		socket.on('message', (data, from) => {
			if (data.length >= 12 && data.readUInt32LE(0) === MAGIC && data.readUInt32LE(4) === 12) data = data.subarray(12);
			this.news.push({ type: 3, id, ip: from.address, port: from.port, data, ...(server && { server: id }) });
		});
		socket.bind(port);
		return id;
	}

	tcp(id, ip, port) {
		const item = this.get(id, 'socket');
		item.socket = connect({ host: ip, port, noDelay: true });
		item.socket.on('connect', () => this.news.push({ type: 4, id, ip, port, succeeded: 1 }));
		item.socket.on('error', () => { if (item.socket.connecting || !item.ended) this.news.push({ type: 4, id, ip, port, succeeded: 0 }); });
		item.socket.on('data', (data) => this.news.push({ type: 3, id, ip, port, data }));
		item.socket.on('close', () => { item.ended = true; }); // GameMaker has no event for it
		return 0;
	}

	sendUdp(id, ip, port, buffer, size, header) {
		const data = Buffer.alloc(header + size);
		if (header) [MAGIC, 12, size].forEach((word, i) => data.writeUInt32LE(word, 4 * i));
		need(this.get(buffer, 'buffer').data.length >= size, 'the buffer is shorter than what is to be sent');
		this.get(buffer, 'buffer').data.copy(data, header, 0, size);
		this.get(id, 'socket').socket.send(data, port, ip);
		return data.length;
	}

	// ---- instances and time

	create(object) {
		const globals = this.globals;
		const variables = {};
		const instance = { object, self: new Proxy(variables, { has: (_, key) => typeof key === 'string' && !key.startsWith('_') && !(key in globals) && key !== 'undefined' }) };
		this.instances.push(instance);
		this.run(instance, 'create');
		return instance.self;
	}

	run(instance, event) {
		this.objects[instance.object][event]?.(instance.self);
	}

	destroy(object) {
		for (const instance of this.instances.filter((i) => i.object === object)) this.run(instance, 'cleanup');
		this.instances = this.instances.filter((i) => i.object !== object);
	}

	// One step: networking events, then time sources, Step and Draw.
	step(onNetworking = () => {}) {
		for (const { data, ...news } of this.news.splice(0)) {
			if (!this.items.has(news.id)) continue;
			const values = new Map(Object.entries(news));
			const buffer = data && this.add({ kind: 'buffer', data: Buffer.from(data), tell: 0 });
			if (data) values.set('buffer', buffer).set('size', data.length);
			this.globals.async_load = this.add({ kind: 'map', values });
			onNetworking();
			for (const instance of [...this.instances]) this.run(instance, 'networking');
			this.items.delete(this.globals.async_load);
			this.items.delete(buffer);
			this.globals.async_load = -1;
		}
		for (const [id, item] of [...this.items]) if (item.kind === 'time source' && item.started && this.items.has(id)) item.callback();
		for (const event of ['step', 'draw']) for (const instance of [...this.instances]) this.run(instance, event);
		this.keys.clear();
	}

	// What is still there: what the game forgot to free.
	left() {
		const count = {};
		for (const { kind } of this.items.values()) count[kind] = (count[kind] ?? 0) + 1;
		return count;
	}

	// ---- GameMaker's functions, as the manual has them

	functions() {
		const buffer = (id) => this.get(id, 'buffer');
		const list = (id) => this.get(id, 'list').values;
		const map = (id) => this.get(id, 'map').values;
		const text = (value) => (typeof value === 'number' && !Number.isInteger(value) ? value.toFixed(2) : String(value));
		return {
			string: text,
			real: (value) => { need(value !== '' && !Number.isNaN(Number(value)), `real("${value}")`); return Number(value); },
			is_string: (value) => typeof value === 'string',
			max: Math.max, round: Math.round, irandom: (most) => Math.floor(Math.random() * (most + 1)), ord: (s) => s.charCodeAt(0),
			string_pos: (part, s) => s.indexOf(part) + 1,
			string_last_pos: (part, s) => s.lastIndexOf(part) + 1,
			string_copy: (s, from, count) => s.substr(from - 1, count),
			string_delete: (s, from, count) => s.slice(0, from - 1) + s.slice(from - 1 + count),
			array_length: (a) => a.length,
			array_push: (a, ...values) => { a.push(...values); },
			variable_struct_get: (struct, name) => struct[name],
			variable_struct_set: (struct, name, value) => { struct[name] = value; },
			variable_struct_remove: (struct, name) => { delete struct[name]; },
			variable_struct_get_names: (struct) => Object.keys(struct),
			variable_global_get: (name) => this.globals.global[name],
			variable_global_set: (name, value) => { this.globals.global[name] = value; },
			show_debug_message: (message) => { this.messages.push(message); },

			ds_list_create: () => this.add({ kind: 'list', values: [] }),
			ds_list_destroy: (id) => this.remove(id, 'list'),
			ds_list_clear: (id) => { list(id).length = 0; },
			ds_list_add: (id, ...values) => { list(id).push(...values); },
			ds_list_delete: (id, at) => { list(id).splice(at, 1); },
			ds_list_size: (id) => list(id).length,
			ds_list_find_index: (id, value) => list(id).indexOf(value),
			ds_list_find_value: (id, at) => list(id)[at],
			ds_map_create: () => this.add({ kind: 'map', values: new Map() }),
			ds_map_destroy: (id) => this.remove(id, 'map'),
			ds_map_add: (id, key, value) => { map(id).set(key, value); },
			ds_map_find_value: (id, key) => map(id).get(key),

			buffer_grow: 1, buffer_seek_start: 0, buffer_u8: 1, buffer_string: 11,
			buffer_create: (size) => this.add({ kind: 'buffer', data: Buffer.alloc(size), tell: 0 }),
			buffer_delete: (id) => this.remove(id, 'buffer'),
			buffer_get_address: (id) => new Pointer(buffer(id).data),
			buffer_get_size: (id) => buffer(id).data.length,
			buffer_tell: (id) => buffer(id).tell,
			buffer_seek: (id, base, offset) => { buffer(id).tell = offset; },
			buffer_resize: (id, size) => {
				const data = Buffer.alloc(size);
				buffer(id).data.copy(data);
				buffer(id).data = data;
			},
			buffer_peek: (id, at) => buffer(id).data[at] ?? 0,
			buffer_write: (id, type, value) => {
				need(type === 11, 'a type that this runner lacks');
				const b = buffer(id);
				const bytes = Buffer.from(`${value}\0`);
				if (b.tell + bytes.length > b.data.length) this.globals.buffer_resize(id, 2 * (b.tell + bytes.length));
				bytes.copy(b.data, b.tell);
				b.tell += bytes.length;
			},
			buffer_read: (id, type) => {
				need(type === 11, 'a type that this runner lacks');
				const b = buffer(id);
				const end = b.data.indexOf(0, b.tell);
				const value = b.data.toString('utf8', b.tell, end < 0 ? undefined : end);
				b.tell = end < 0 ? b.data.length : end + 1;
				return value;
			},

			network_socket_tcp: 0, network_socket_udp: 1, network_type_data: 3, network_type_non_blocking_connect: 4,
			network_create_socket: (type) => (type === 1 ? this.udp(0) : this.add({ kind: 'socket' })),
			network_create_server: (type, port) => this.udp(port, true),
			network_connect_raw_async: (id, ip, port) => this.tcp(id, ip, port),
			network_send_udp: (id, ip, port, from, size) => this.sendUdp(id, ip, port, from, size, 12),
			network_send_udp_raw: (id, ip, port, from, size) => this.sendUdp(id, ip, port, from, size, 0),
			network_send_raw: (id, from, size) => {
				const item = this.get(id, 'socket');
				if (item.ended) return -1;
				item.socket.write(Buffer.from(buffer(from).data.subarray(0, size)));
				return size;
			},
			network_destroy: (id) => {
				const { socket } = this.get(id, 'socket');
				this.items.delete(id);
				if (socket?.close) socket.close();
				else socket?.destroy();
			},
			network_resolve: (name) => (name === 'localhost' ? '127.0.0.1' : ''),

			time_source_game: 1, time_source_units_frames: 1, gamespeed_fps: 0,
			game_get_speed: () => 60,
			time_source_create: (parent, period, units, callback) => this.add({ kind: 'time source', callback }),
			time_source_start: (id) => { this.get(id, 'time source').started = true; },
			time_source_destroy: (id) => this.remove(id, 'time source'),

			vk_shift: 16,
			keyboard_check: (key) => this.keys.has(key),
			keyboard_check_pressed: (key) => this.keys.has(key),
			instance_create_depth: (x, y, depth, object) => this.create(object.objectName),
			instance_exists: (object) => this.instances.some((i) => i.object === object.objectName),
			draw_text: (x, y, value) => { need(typeof value === 'string', 'draw_text'); },
		};
	}
}
