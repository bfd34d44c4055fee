#!/usr/bin/env python3
"""The extension's library, called as GameMaker does. Usage: test_library.py LIBRARY [unittest arguments]"""
import math
import os
import re
import sys
import time
import unittest

import gamemaker
from gamemaker import HEADER, MAGIC, Extension, Sockets

LIBRARY = sys.argv[1]
LIMIT = 20  # seconds, for anything
NONSENSE = [-1.0, 0.0, 0.5, 1.0, 255.0, 256.0, 257.5, 1e9, 2.0 ** 53, 2.0 ** 64, 1e308, -1e308, math.inf, -math.inf, math.nan]

gm = Extension(LIBRARY)


class Object:
    """An opened object, or a created one with its sockets."""

    def __init__(self, test, kind, own=False, raw_socket=False, **settings):
        self.id = gm.start(kind, own, **settings)
        assert self.id > 0, gm.error_text(self.id)
        self.own = own
        self.sockets = Sockets(gm, self.id, raw_socket) if own else None
        self.events = []
        self.packets = []  # (peer, bytes)
        test.addCleanup(self.close)

    def close(self):
        if self.sockets:
            self.sockets.close()
        else:
            gm.close(self.id)

    def step(self):
        if self.sockets:
            self.sockets.step()
            self.packets += self.sockets.packets
            self.sockets.packets = []
        while True:
            kind = gm.poll(self.id)
            if kind == 0:
                break
            assert kind > 0, kind
            assert gm.event_type(self.id) == kind
            if kind == gm.EVENT_DATA:
                data = gm.data(gm.event_size(self.id), lambda memory, size: gm.event_memory(self.id, memory, size))
                self.packets.append((gm.event_peer(self.id), data))
                continue
            self.events.append({
                "type": kind, "reason": gm.event_reason(self.id), "peer": gm.event_peer(self.id), "how": gm.event_how(self.id),
                "ip": gm.event_ip(self.id), "port": gm.event_port(self.id), "count": gm.event_count(self.id),
                "created": gm.event_created(self.id), "elapsed": gm.event_elapsed(self.id),
                "cause": gm.event_cause(self.id), "stage": gm.event_stage(self.id), "os_error": gm.event_os_error(self.id),
                "other": (gm.event_other_ip(self.id), gm.event_other_port(self.id)),
                "strings": [gm.event_string(self.id, n) for n in range(1, 9)]})
        if self.sockets:
            self.sockets.perform()

    def event(self, kind):
        return next((e for e in self.events if e["type"] == kind), None)

    def port(self):
        return self.sockets.udp.getsockname()[1] if self.own else gm.local_port(self.id)

    def send(self, data, peer=None):
        if peer is not None:
            assert gm.send_to(self.id, peer) == 1
        result = gm.send_memory(self.id, data, len(data))
        if self.sockets:
            self.sockets.perform()
        return result

    def send_all(self, data):
        result = gm.send_all_memory(self.id, data, len(data))
        if self.sockets:
            self.sockets.perform()
        return result


class Test(unittest.TestCase):
    def tearDown(self):
        gm.close_all()

    def until(self, objects, condition, what):
        end = time.monotonic() + LIMIT
        while not condition():
            for o in objects:
                o.step()
            if time.monotonic() > end:
                self.fail("waited for %s: %s" % (what, [[gm.event_name(e["type"]) for e in o.events] for o in objects]))
            time.sleep(0.002)

    def master(self, **settings):
        master = Object(self, gm.KIND_MASTER, any_port=True, bind_address="127.0.0.1", **settings)
        return master, "127.0.0.1:%d" % gm.local_port(master.id)

    def trio(self, host_settings=None, client_settings=None):
        """A master, a host and a client that are connected."""
        master, address = self.master()
        common = {"bind_address": "127.0.0.1"}
        host = Object(self, gm.KIND_HOST, **{"master": address, **common, **(host_settings or {})})
        self.until([master, host], lambda: host.event(gm.EVENT_REGISTERED), "registration")
        settings = {"master": address, "server": "127.0.0.1", **common, **(client_settings or {})}
        client = Object(self, gm.KIND_CLIENT, **settings)
        everyone = [master, host, client]
        self.until(everyone, lambda: client.event(gm.EVENT_CONNECTED) and host.event(gm.EVENT_JOINED), "connection")
        return everyone

    def exchange(self, everyone, packet=b"\x01hello"):
        """One packet there and one back; as it may get lost, again if need be."""
        _, host, client = everyone
        peer = gm.peer(host.id, 0) if gm.peer_count(host.id) else 0
        for sender, receiver, to in ((client, host, None), (host, client, peer)):
            receiver.packets.clear()
            next_try = [0]

            def arrived():
                if time.monotonic() > next_try[0]:
                    self.assertEqual(sender.send(packet, to), 1)
                    next_try[0] = time.monotonic() + 0.3
                return receiver.packets
            self.until(everyone, arrived, "a packet")
            self.assertEqual(receiver.packets[0], (peer if to is None else 0, packet))

    def test_both_ways_of_sockets_with_each_other(self):
        for host_own in (False, True):
            for client_own in (False, True):
                with self.subTest(host_own=host_own, client_own=client_own):
                    everyone = self.trio({"own": host_own, "data1": "game", "data8": "grüße"}, {"own": client_own, "ask_data": 1})
                    _, host, client = everyone
                    self.assertEqual(client.event(gm.EVENT_CONNECTED)["how"], gm.HOW_PUNCHED)
                    self.assertEqual(gm.stage(client.id), gm.STAGE_CONNECTED)
                    self.assertEqual((gm.server_ip(client.id), gm.server_port(client.id)), ("127.0.0.1", host.port()))
                    joined = host.event(gm.EVENT_JOINED)
                    peer = joined["peer"]
                    self.assertEqual((joined["ip"], joined["port"]), ("127.0.0.1", client.port()))
                    self.assertEqual(gm.peer_count(host.id), 1)
                    self.assertEqual(gm.peer(host.id, 0), peer)
                    self.assertEqual(gm.find_peer(host.id, "127.0.0.1", client.port()), peer)
                    self.assertEqual((gm.peer_ip(host.id, peer), gm.peer_port(host.id, peer)), ("127.0.0.1", client.port()))
                    self.assertEqual(gm.peer_value(host.id, peer, "how"), gm.HOW_PUNCHED)
                    self.exchange(everyone)
                    self.exchange(everyone, b"")
                    self.exchange(everyone, bytes(range(256)) * 4)
                    self.assertEqual(host.send_all(b"to all"), 1)
                    self.until(everyone, lambda: client.event(gm.EVENT_HOST_DATA), "data strings")
                    self.assertEqual(client.event(gm.EVENT_HOST_DATA)["strings"], ["game", "", "", "", "", "", "", "grüße"])
                    client.events.clear()
                    self.assertEqual(gm.set_data(host.id, 2, "new"), 1)
                    self.assertEqual(gm.commit_data(host.id), 1)
                    self.assertEqual(gm.request_data(client.id), 1)
                    self.until(everyone, lambda: client.event(gm.EVENT_HOST_DATA), "new data strings")
                    self.assertEqual(client.event(gm.EVENT_HOST_DATA)["strings"][1], "new")
                    self.assertEqual(gm.stat(host.id, "joined"), 1)
                    self.assertGreaterEqual(gm.stat(client.id, "knocks_sent"), 1)
                    self.assertEqual(gm.kick(host.id, peer), 1)
                    self.until(everyone, lambda: host.event(gm.EVENT_LEFT), "the kick")
                    self.assertEqual(host.event(gm.EVENT_LEFT)["reason"], gm.REASON_KICKED)
                    self.assertEqual(gm.kick(host.id, peer), gm.ERR_PEER)
                    self.assertEqual(gm.send_to(host.id, peer), gm.ERR_PEER)
                    for o in everyone:
                        o.close()

    def test_headers(self):
        """GameMaker's header is on the wire, unless `raw`; to the master always. A raw peer on the other side is understood."""
        def headers(datagrams):
            return {d[:8] == HEADER.pack(MAGIC, HEADER.size, 0)[:8] for d in datagrams}
        for host_raw in (0, 1):
            for client_raw in (0, 1):
                with self.subTest(host_raw=host_raw, client_raw=client_raw):
                    everyone = self.trio({"own": True, "raw": host_raw}, {"own": True, "raw": client_raw})
                    _, host, client = everyone
                    self.exchange(everyone)
                    for o, raw in ((host, host_raw), (client, client_raw)):
                        self.assertEqual(o.sockets.sent[-1], (b"" if raw else HEADER.pack(MAGIC, HEADER.size, 6)) + b"\x01hello")
                        to_master = [d for d in o.sockets.sent if d.endswith(b"\n\0")]
                        self.assertEqual(headers(to_master), {True})
                    for o in everyone:
                        o.close()
        # a library's raw client: it goes on with headers after the first answer
        everyone = self.trio({"own": True}, {"raw": 1})
        self.exchange(everyone)
        self.assertEqual(headers(everyone[1].sockets.sent), {True})

    def test_a_socket_that_leaves_the_header_on(self):
        """network_create_server_raw: what it sends with network_send_udp has a header, what it receives keeps it."""
        everyone = self.trio({"own": True, "raw_socket": True}, {})
        self.exchange(everyone)

    def test_payloads_that_look_like_protocol(self):
        knock = b"\xfd"
        everyone = self.trio({"own": True}, {"own": True})
        self.assertEqual(everyone[2].send(knock), gm.ERR_RESERVED)
        self.assertEqual(everyone[1].send_all(knock), gm.ERR_RESERVED)
        for own in (False, True):
            everyone = self.trio({"own": own, "escape": True}, {"own": not own, "escape": True})
            self.exchange(everyone, knock)
            self.exchange(everyone, b"\xf5 escaped")

    def test_strangers(self):
        master, host, client = self.trio({"own": True}, {})
        client.sockets = None
        self.assertEqual(gm.input_from(host.id, "192.0.2.1", 5), 1)
        self.assertEqual(gm.input_memory(host.id, b"hello", 5), gm.INPUT_OTHER)
        self.assertEqual(gm.find_peer(host.id, "192.0.2.1", 5), gm.ERR_PEER)
        for ip, port in (("", 5), ("no address", 5), ("1.2.3.4", 0), ("1.2.3.4", 65536), ("1.2.3.4", math.nan)):
            self.assertEqual(gm.input_from(host.id, ip, port), gm.ERR_ADDRESS)
            self.assertEqual(gm.input_memory(host.id, b"hello", 5), gm.ERR_STATE)
            self.assertEqual(gm.find_peer(host.id, ip, port), gm.ERR_ADDRESS)
        self.assertEqual(gm.input_from(host.id, "::ffff:127.0.0.1", client.port()), 1)
        self.assertEqual(gm.input_memory(host.id, b"hello", 5), gm.INPUT_GAME)

    def test_lobby(self):
        master, address = self.master()
        hosts = [Object(self, gm.KIND_HOST, master=address, bind_address="127.0.0.%d" % n, data1="game", data2="é%d" % n)
                 for n in range(1, 6)]
        self.until([master] + hosts, lambda: gm.stat(master.id, "listed") == 5, "registrations")
        for own in (False, True):
            lobby = Object(self, gm.KIND_LOBBY, own, master=address, filter1="game", sort_by=2, descending=1, limit=4)
            self.until([master, lobby], lambda: lobby.event(gm.EVENT_LOBBY_DONE), "the list")
            self.assertEqual([(e["type"], e["ip"], e["strings"][1], e["count"]) for e in lobby.events], [
                (gm.EVENT_LOBBY_ENTRY, "127.0.0.%d" % n, "é%d" % n, 6 - n) for n in (5, 4, 3, 2)
            ] + [(gm.EVENT_LOBBY_DONE, "127.0.0.1", "", 4)])  # the master's address
            self.assertLess(abs(lobby.events[0]["created"] - time.time()), 60)
            self.assertEqual(gm.stat(lobby.id, "entries"), 4)
            self.assertEqual(gm.send_memory(lobby.id, b"x", 1), gm.ERR_STATE)

    def test_list_and_end_of_connection_in_one_step(self):
        """What the lobby did not take yet is kept, and the end of the connection does not overtake it."""
        lobby = gm.start(gm.KIND_LOBBY, True, master="192.0.2.1")
        self.assertEqual(gm.transmit(lobby), gm.TRANSMIT_TCP_OPEN)
        self.assertEqual((gm.transmit_ip(lobby), gm.transmit_port(lobby)), ("192.0.2.1", gm.DEFAULT_PORT))
        connection = gm.transmit_connection(lobby)
        self.assertEqual(gm.tcp_opened(lobby, connection), 1)
        self.assertEqual(gm.transmit(lobby), gm.TRANSMIT_TCP_SEND)
        request = gm.data(gm.transmit_size(lobby), lambda memory, size: gm.transmit_memory(lobby, memory, size))
        self.assertTrue(request.startswith(b"lobby2\n"))
        self.assertEqual(gm.transmit_memory(lobby, b"", 0), gm.ERR_TOO_LONG)
        self.assertEqual(gm.tcp_sent(lobby, connection, len(request) + 1), gm.ERR_ARGUMENT)
        self.assertEqual(gm.tcp_sent(lobby, connection + 1, 0), gm.ERR_CONNECTION)
        self.assertEqual(gm.transmit(lobby), 0)
        entries = ",".join('{"ip":"192.0.2.%d","data1":"%d","createdTime":7}' % (n, n) for n in range(1, 101))
        answer = b"\xf9[" + entries.encode() + b"]\n"
        half = len(answer) // 2
        for part in (answer[:half], answer[half:]):
            self.assertEqual(gm.tcp_memory(lobby, part, len(part)), 1)
        self.assertEqual(gm.tcp_closed(lobby, connection, 0), 1)
        for n in range(1, 101):
            self.assertEqual(gm.poll(lobby), gm.EVENT_LOBBY_ENTRY)
            self.assertEqual((gm.event_ip(lobby), gm.event_string(lobby, 1)), ("192.0.2.%d" % n, str(n)))
        self.assertEqual(gm.poll(lobby), gm.EVENT_LOBBY_DONE)
        self.assertEqual(gm.event_count(lobby), 100)
        self.assertEqual(gm.poll(lobby), 0)

    def test_master_tells_what_it_does(self):
        master, host, client = self.trio({"own": True}, {"own": True})
        self.assertEqual(master.event(gm.EVENT_HOST_ADDED)["ip"], "127.0.0.1")
        introduction = master.event(gm.EVENT_INTRODUCTION)
        self.assertEqual((introduction["ip"], introduction["port"]), ("127.0.0.1", client.port()))
        self.assertEqual(introduction["other"], ("127.0.0.1", host.port()))
        self.assertEqual(gm.stat(master.id, "introductions"), 1)
        host.close()
        self.until([master], lambda: master.event(gm.EVENT_HOST_REMOVED), "the end of the host")

    def test_fall_back_and_its_failure(self):
        master, address = self.master()
        client = Object(self, gm.KIND_CLIENT, True, master=address, server="127.0.0.1", direct_port=9, timeout_ms=700)
        self.until([master, client], lambda: client.event(gm.EVENT_FAILED), "failure")
        self.assertEqual(client.event(gm.EVENT_FALLBACK)["reason"], gm.REASON_HOST_NOT_FOUND)
        failed = client.event(gm.EVENT_FAILED)
        self.assertEqual((failed["reason"], failed["cause"]), (gm.REASON_HOST_SILENT, gm.REASON_HOST_NOT_FOUND))
        self.assertEqual(gm.stage_name(failed["stage"]), "direct")
        self.assertEqual(failed["os_error"], 0)

    def test_failure_says_why(self):
        master, address = self.master()
        for own in (False, True):
            client = Object(self, gm.KIND_CLIENT, own, master=address, server="192.0.2.1")
            self.until([master, client], lambda: client.event(gm.EVENT_FAILED), "failure")
            self.assertEqual(client.event(gm.EVENT_FAILED)["reason"], gm.REASON_HOST_NOT_FOUND)
            self.assertEqual(gm.stage(client.id), gm.STAGE_FAILED)
            self.assertEqual(client.send(b"x"), gm.ERR_NOT_CONNECTED)
        self.assertEqual(gm.reason_name(gm.REASON_HOST_NOT_FOUND), "host_not_found")
        self.assertIn("no such game", gm.reason_text(gm.REASON_HOST_NOT_FOUND))

    def test_master_by_name(self):
        """The game looks the name up itself."""
        master, address = self.master()
        client = Object(self, gm.KIND_CLIENT, True, master="master.example:%s" % address.split(":")[1], server="192.0.2.1")
        self.assertEqual(gm.is_address("master.example"), gm.ERR_ADDRESS)
        self.assertEqual(gm.is_address("[2001:db8::1]:5"), 1)
        self.assertEqual(gm.set_master(client.id, "nonsense"), gm.ERR_ADDRESS)
        self.assertEqual(gm.set_master(client.id, "127.0.0.1"), 1)
        client.sockets.perform()
        self.until([master, client], lambda: client.event(gm.EVENT_FAILED), "failure")
        self.assertEqual(client.event(gm.EVENT_FAILED)["reason"], gm.REASON_HOST_NOT_FOUND)
        self.assertEqual(gm.set_master(client.id, ""), gm.ERR_STATE)  # it has failed
        for address in ("", "127.0.0.1"):
            host = gm.start(gm.KIND_HOST, True, master="master.example")
            self.assertEqual(gm.set_master(host, address), 1)

    def test_log(self):
        master, address = self.master()
        quiet = Object(self, gm.KIND_HOST, master=address)
        loud = Object(self, gm.KIND_HOST, master=address, log_level=gm.LOG_DEBUG)
        self.until([master, quiet, loud], lambda: loud.event(gm.EVENT_REGISTERED) and quiet.event(gm.EVENT_REGISTERED), "both")
        self.assertEqual(gm.log(quiet.id), "")
        lines = []
        while True:
            line = gm.log(loud.id)
            if not line:
                break
            lines.append(line)
        self.assertTrue(0 < len(lines) <= 16, lines)

    def test_every_field_has_its_name(self):
        """All fields of the configs and statistics in gmpunch.h, but those that only C can use."""
        with open(os.path.join(gamemaker.PROJECT, "..", "..", "gmpunch.h"), encoding="utf-8") as file:
            header = re.sub(r"/\*.*?\*/", "", file.read(), flags=re.S)
        only_c = {"struct_size", "reserved", "socket_mode", "udp_socket", "memory_size", "allocator", "log", "log_user", "os_error"}
        texts, numbers = 0, 0
        for kind, name in enumerate(("client", "host", "lobby", "master"), 1):
            body = re.search(r"typedef struct gmpunch_%s_config \{(.*?)\}" % name, header, re.S).group(1)
            config = gm.config_create(kind)
            for words, field, array in re.findall(r"^\s*([\w ]+?[ *]+)(\w+)(\[\w+\])?;", body, re.M):
                if field in only_c or field == "memory" and "void" in words:
                    continue
                names = ["%s%d" % (field, n) for n in range(1, 9)] if array else [field]
                for one in names:
                    if "char" in words:
                        self.assertEqual(gm.config_set_text(config, one, "x"), 1, (name, one))
                        self.assertEqual(gm.config_set(config, one, 1), gm.ERR_CONFIG)
                        texts += 1
                    else:
                        self.assertEqual(gm.config_set(config, one, 1), 1, (name, one))
                        self.assertEqual(gm.config_set_text(config, one, "x"), gm.ERR_CONFIG)
                        numbers += 1
            settings = {"client": {"server": "127.0.0.1", "direct_only": 1, "direct_port": 1}, "lobby": {"master": "127.0.0.1"},
                        "master": {"any_port": 1}, "host": {}}[name]
            opened = gm.start(kind, **settings)
            self.assertGreater(opened, 0)
            body = re.search(r"typedef struct gmpunch_%s_stats \{(.*?)\}" % name, header, re.S).group(1)
            for field in re.findall(r"^\s*uint\d+_t (\w+);", body, re.M):
                if field not in ("struct_size", "reserved"):
                    self.assertGreaterEqual(gm.stat(opened, field), 0, (name, field))
        self.assertGreater(texts, 20)
        self.assertGreater(numbers, 60)
        # a field sets that field, and no other
        opened = gm.start(gm.KIND_CLIENT, server="127.0.0.1", direct_only=True, direct_port=1, bind_address="127.0.0.1",
                          timeout_ms=200)
        client_started = time.monotonic()
        while gm.poll(opened) != gm.EVENT_FAILED:
            self.assertLess(time.monotonic() - client_started, 5)
        self.assertGreaterEqual(gm.event_elapsed(opened), 200)

    def test_values_out_of_range(self):
        config = gm.config(gm.KIND_CLIENT)
        for value in (-1, 0.5, math.nan, math.inf, -math.inf, 2.0 ** 32, 1e308):
            self.assertEqual(gm.config_set(config, "timeout_ms", value), gm.ERR_ARGUMENT)
        self.assertEqual(gm.config_set(config, "timeout_ms", gm.NEVER), 1)
        self.assertEqual(gm.config_set(config, "bind_port", 65536), gm.ERR_ARGUMENT)
        self.assertEqual(gm.config_set(config, "raw", 2), gm.ERR_ARGUMENT)
        self.assertEqual(gm.config_set(config, "seed", 2.0 ** 53 - 1), 1)
        self.assertEqual(gm.config_set(config, "", 1), gm.ERR_CONFIG)
        self.assertEqual(gm.config_set(config, "x" * 1000000, 1), gm.ERR_CONFIG)
        self.assertEqual(gm.config_set_text(config, "server", "x" * 1000000), gm.ERR_TOO_LONG)
        self.assertEqual(gm.config_set_text(config, "server", "x" * 65536), 1)
        self.assertLess(gm.create(config), 0)
        self.assertEqual(gm.config_set_text(config, "server", ""), 1)
        self.assertLess(gm.open(config), 0)
        for kind in NONSENSE[:3] + [5.0] + NONSENSE[6:]:
            self.assertEqual(gm.config_create(kind), gm.ERR_ARGUMENT)
        self.assertEqual(gm.create(gm.config(gm.KIND_MASTER)), gm.ERR_STATE)

    def test_open_tells_the_error_of_the_system(self):
        master, address = self.master()
        config = gm.config(gm.KIND_MASTER, port=gm.local_port(master.id), bind_address="127.0.0.1")
        self.assertEqual(gm.open(config), gm.ERR_ADDRESS_IN_USE)
        self.assertGreater(gm.os_error(config), 0)
        self.assertEqual(gm.error_name(gm.ERR_ADDRESS_IN_USE), "ADDRESS_IN_USE")

    def test_ids(self):
        """Every function, with every kind of object and with ids that are none: an error or an empty text, never a crash."""
        _, host, client = self.trio({"own": True}, {})
        others = [gm.config_create(gm.KIND_HOST), gm.start(gm.KIND_LOBBY, master="192.0.2.1"),
                  gm.start(gm.KIND_MASTER, any_port=True, bind_address="127.0.0.1"), gm.start(gm.KIND_HOST, True), host.id, client.id]
        stale = gm.config_create(gm.KIND_CLIENT)
        self.assertEqual(gm.close(stale), 1)
        self.assertEqual(gm.close(stale), gm.ERR_ARGUMENT)
        again = gm.config_create(gm.KIND_CLIENT)  # the same place
        self.assertEqual(gm.kind(again), gm.KIND_CLIENT)
        self.assertEqual(gm.kind(stale), gm.ERR_ARGUMENT)
        no_object = {"is_available", "version", "close_all", "config_create", "is_address", "error_text", "error_name",
                     "event_name", "reason_name", "reason_text", "stage_name", "how_name"}
        calls = 0
        for name, (arguments, result) in gm.functions.items():
            name = name[len("gmpunch_"):]
            if name in no_object:
                for number in NONSENSE if arguments == [2] and name != "config_create" else []:
                    self.assertTrue(getattr(gm, name)(number))
                continue
            for filler in (1.0, math.nan, -1.0, 1e300):
                for text in ("", "1.2.3.4", "x" * 300000):
                    # the size of memory is one that the text has
                    rest = [text if a == 1 else filler if len(arguments) < 3 or arguments[1] != 1 else min(filler, 0.0)
                            for a in arguments[1:]]
                    for number in NONSENSE + [stale]:
                        calls += 1
                        got = getattr(gm, name)(number, *rest)
                        self.assertEqual(got, "" if result == 1 else gm.ERR_ARGUMENT, (name, number))
                    for number in others if name not in ("close", "open", "create") else []:
                        calls += 1
                        getattr(gm, name)(number, *rest)
        self.assertGreater(calls, 10000)
        self.assertEqual(gm.create(again), gm.open(again))
        self.assertEqual(gm.open(client.id), gm.ERR_ARGUMENT)

    def test_kinds(self):
        """A function of another kind of object is refused."""
        lobby = gm.start(gm.KIND_LOBBY, True, master="192.0.2.1")
        client = gm.start(gm.KIND_CLIENT, master="192.0.2.1", server="192.0.2.2")
        for call in (lambda: gm.stage(lobby), lambda: gm.kick(client, 1), lambda: gm.peer_count(client), lambda: gm.tick(client),
                     lambda: gm.transmit(client), lambda: gm.set_data(client, 1, ""), lambda: gm.commit_data(lobby),
                     lambda: gm.request_data(lobby), lambda: gm.send_to(client, 1), lambda: gm.send_all_memory(client, b"", 0),
                     lambda: gm.server_port(lobby), lambda: gm.local_port(lobby), lambda: gm.input_memory(lobby, b"", 0)):
            self.assertEqual(call(), gm.ERR_STATE)

    def test_memory(self):
        """Empty, missing and senseless buffers."""
        _, host, client = self.trio({"own": True}, {})
        for o in (host.id, client.id):
            for memory, size in ((None, 1.0), (b"", -1.0), (b"", 0.5), (b"", math.nan), (b"", math.inf), (b"", 2.0 ** 40)):
                self.assertEqual(gm.send_memory(o, memory, size), gm.ERR_ARGUMENT)
            self.assertEqual(gm.event_memory(o, None, 0), 1)  # there is nothing to copy
            self.assertEqual(gm.event_memory(o, None, math.nan), gm.ERR_ARGUMENT)
        self.assertEqual(gm.send_memory(client.id, b"x" * 70000, 70000), gm.ERR_TOO_LONG)
        self.assertEqual(gm.send_memory(client.id, None, 0), 1)
        gm.input_from(host.id, "127.0.0.1", client.port())
        self.assertEqual(gm.input_memory(host.id, None, 0), gm.INPUT_GAME)
        self.assertEqual(gm.input_memory(host.id, None, 1), gm.ERR_ARGUMENT)
        self.assertEqual(gm.input_memory(host.id, b"x" * 65536, 65536), gm.ERR_ARGUMENT)
        self.assertEqual(gm.send_all_memory(host.id, b"a", 1), 1)
        self.assertEqual(gm.send_all_memory(host.id, b"b", 1), gm.ERR_WOULD_BLOCK)  # the first was not transmitted yet
        self.assertEqual(gm.send_to(host.id, gm.find_peer(host.id, "127.0.0.1", client.port())), 1)
        self.assertEqual(gm.send_memory(host.id, b"b", 1), gm.ERR_WOULD_BLOCK)
        self.assertEqual(gm.transmit(host.id), gm.TRANSMIT_UDP)
        self.assertEqual(gm.data(gm.transmit_size(host.id), lambda memory, size: gm.transmit_memory(host.id, memory, size)), b"a")
        self.assertEqual(gm.transmit_memory(host.id, None, 1), gm.ERR_ARGUMENT)
        self.assertEqual(gm.transmit(host.id), 0)

    def test_events_outlive_what_they_came_with(self):
        """A game may ask for the event after the next datagram was taken."""
        everyone = self.trio({"data1": "kept"}, {"own": True})
        _, host, client = everyone
        gm.request_data(client.id)
        client.sockets.perform()
        end = time.monotonic() + LIMIT
        while gm.poll(client.id) != gm.EVENT_HOST_DATA:
            self.assertLess(time.monotonic(), end)
            host.step()
            client.sockets.step()
        gm.set_data(host.id, 1, "gone")
        gm.request_data(client.id)
        client.sockets.perform()
        while not any(b"gone" in datagram for datagram in client.sockets.received):
            self.assertLess(time.monotonic(), end)
            host.step()
            client.sockets.step()
        self.assertEqual(gm.event_string(client.id, 1), "kept")
        self.assertEqual(gm.poll(client.id), gm.EVENT_HOST_DATA)
        self.assertEqual(gm.event_string(client.id, 1), "gone")

    def test_table_of_objects_is_bounded(self):
        ids = [gm.config_create(gm.KIND_LOBBY) for _ in range(257)]
        self.assertEqual(ids[256], gm.ERR_FULL)
        self.assertEqual(len(set(ids[:256])), 256)
        self.assertEqual(gm.open(ids[0]), gm.ERR_FULL)
        self.assertEqual(gm.close_all(), 1)
        self.assertEqual(gm.close(ids[0]), gm.ERR_ARGUMENT)
        seen = set()
        for _ in range(1000):
            one = gm.config_create(gm.KIND_LOBBY)
            gm.close(one)
            seen.add(one)
        self.assertEqual(len(seen), 1000)

    def test_version(self):
        self.assertEqual(gm.is_available(), 1)
        self.assertEqual(gm.version(), gamemaker.read_yy("extensions/gmpunch/gmpunch.yy")["extensionVersion"])


if __name__ == "__main__":
    del sys.argv[1]
    unittest.main()
