"""punch as its user sees it: separate processes over loopback, their lines and exit codes.

usage: test_punch.py PATH_OF_PUNCH [EMULATOR ...]
"""
import json
import os
import signal
import socket
import struct
import sys
import threading
import time
import unittest

sys.dont_write_bytecode = True
import child  # noqa: E402
from child import Child, Line, can_bind, closed_port, datagram, needs  # noqa: E402

PUNCH = None
EMULATED = child.emulated()
MANY_IPS = not EMULATED and all(can_bind("127.0.0.%d" % i) for i in (2, 3, 4))
IP6 = can_bind("::1")
HOST, CLIENT, OTHER = ("127.0.0.2", "127.0.0.3", "127.0.0.4") if MANY_IPS else ("127.0.0.1",) * 3
LIFE = "300"  # seconds; should a program be forgotten, it ends


def split_address(text):
    ip, _, port = text.rpartition(":")
    return ip.strip("[]"), int(port)


class Player:
    """A game with a socket of its own that speaks the few datagrams of the protocol."""

    def __init__(self, test, ip, raw=False):
        self.raw = raw
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((ip, 0))
        self.socket.settimeout(child.LIMIT)
        self.port = self.socket.getsockname()[1]
        test.addCleanup(self.socket.close)

    def send(self, payload, to):
        self.socket.sendto(payload if self.raw else datagram(payload), to)

    def receive(self):
        """(payload, has a header, from) of the next datagram"""
        data, source = self.socket.recvfrom(65536)
        if data[:4] != struct.pack("<I", 0xDEADC0DE):
            return data, False, source
        size, length = struct.unpack("<II", data[4:12])
        if size != 12 or length != len(data) - 12:
            raise AssertionError("wrong header: %r" % data)
        return data[12:], True, source

    def receive_until(self, payload):
        end = time.monotonic() + child.LIMIT
        while time.monotonic() < end:  # keep-alives come in between for ever
            got = self.receive()
            if got[0] == payload:
                return got
        raise AssertionError("waited %d s for %r" % (child.LIMIT, payload[:40]))

    def join(self, host):
        self.send(b"\xfd", host)
        self.receive_until(b"\xfc")


class Test(unittest.TestCase):
    def punch(self, *arguments, **more):
        return Child(self, PUNCH, *arguments, **more)

    def master(self, ip="127.0.0.1"):
        """A running master and its address for --master."""
        master = self.punch("master", "--bind", ip, "--port", "0", "--seconds", LIFE)
        ready = master.line("ready", role="master")
        self.assertEqual(ready["udp"], ready["tcp"])
        self.assertEqual(split_address(ready["udp"])[0], ip.split(",")[0])
        return master, ready["udp"]

    def host(self, master, *more, ip=HOST, registered=True):
        """A running, registered host and its UDP address."""
        host = self.punch("host", "--master", master, "--bind", ip, "--seconds", LIFE, *more)
        address = host.line("ready", role="host")["udp"]
        self.assertEqual(split_address(address)[0], ip)
        if registered:
            self.assertEqual(host.line("registered")["master"], master)
        return host, address

    def client(self, master, *more, ip=CLIENT, server=HOST, **kwargs):
        to = ("--master", master) if master else ()
        return self.punch("client", *to, "--server", server, "--bind", ip, *more, **kwargs)

    def trio(self, *host_options):
        """(master, its address, host, its address), all running, the host registered with the master."""
        master, master_address = self.master()
        host, host_address = self.host(master_address, *host_options)
        master.line("host-added")
        return master, master_address, host, host_address


class Demo(Test):
    def test_demo(self):
        demo = self.punch()
        demo.wait(0)
        lines = demo.lines
        if not MANY_IPS and "once more" in demo.errors:
            lines = lines[[i for i, line in enumerate(lines) if line.startswith("ready role=master")][1]:]
        events = [Line(line).event for line in lines]
        for event in ("registered", "host-added", "found", "introduction", "introduced", "joined", "connected"):
            self.assertEqual(events.count(event), 1, event)
        self.assertEqual(events.count("ready"), 3)
        self.assertLess(events.index("host-added"), events.index("connected"))
        data = [Line(line) for line in lines if line.startswith("data")]
        self.assertEqual({line["text"] for line in data}, {"hello"})
        self.assertIn("peer", data[0].fields)  # at the host, then back at the client
        self.assertNotIn("peer", data[-1].fields)
        addresses = [split_address(Line(line)["udp"])[0] for line in lines if line.startswith("ready")]
        self.assertEqual(addresses, ["127.0.0.1", "127.0.0.2", "127.0.0.3"] if MANY_IPS else ["127.0.0.1"] * 3)


class Punching(Test):
    def check_introduced(self, master_ip, host_ip, client_ip):
        master, master_address = self.master(master_ip)
        host, host_address = self.host(master_address, ip=host_ip)
        self.assertEqual(split_address(master.line("host-added")["address"])[0], host_ip)
        client = self.client(master_address, "--send", "hello", ip=client_ip, server=host_ip)
        client_address = client.line("ready", role="client")["udp"]
        self.assertEqual(client.line("found")["server"], host_address)
        connected = client.line("connected", how="punched")
        self.assertEqual(connected["server"], host_address)
        self.assertLess(float(connected["ms"]), child.LIMIT * 1000)
        self.assertEqual(client.line("data")["text"], "hello")
        client.wait(0)
        introduction = master.line("introduction")
        self.assertEqual((introduction["client"], introduction["host"]), (client_address, host_address))
        self.assertEqual(host.line("introduced")["client"], client_address)
        joined = host.line("joined", how="punched")
        self.assertEqual(joined["address"], client_address)
        data = host.line("data", peer=joined["peer"])
        self.assertEqual((data["bytes"], data["text"]), ("5", "hello"))

    def test_ipv4(self):
        self.check_introduced("127.0.0.1", HOST, CLIENT)

    def test_all_on_one_address(self):
        self.check_introduced("127.0.0.1", "127.0.0.1", "127.0.0.1")

    @needs(IP6, "IPv6 loopback address")
    def test_ipv6(self):
        self.check_introduced("::1", "::1", "::1")

    @needs(IP6, "IPv6 loopback address")
    def test_master_on_several_addresses(self):
        master, address = self.master("127.0.0.1,::1")
        port = split_address(address)[1]
        host, host_address = self.host("[::1]:%d" % port, ip="::1")
        master.line("host-added")
        client = self.client("[::1]:%d" % port, ip="::1", server="::1")
        self.assertEqual(client.line("connected")["server"], host_address)
        client.wait(0)
        self.host("127.0.0.1:%d" % port)
        master.line("host-added")
        client = self.client("127.0.0.1:%d" % port)
        client.line("connected", how="punched")
        client.wait(0)

    def test_master_by_name(self):
        _, address = self.master()
        host = self.punch("host", "--master", "localhost:%d" % split_address(address)[1], "--bind", "127.0.0.1",
                          "--seconds", LIFE)
        self.assertEqual(host.line("registered")["master"], address)

    def test_without_send_connected_is_the_end(self):
        _, master, host, _ = self.trio()
        client = self.client(master)
        client.wait(0)
        self.assertEqual(Line(client.lines[-1]).event, "connected")
        host.line("joined")

    def test_raw(self):
        for host_options, client_options in ((["--raw"], ["--raw"]), (["--raw"], []), ([], ["--raw"])):
            with self.subTest(host=host_options, client=client_options):
                _, master, host, _ = self.trio(*host_options)
                client = self.client(master, "--send", "raw hello", *client_options)
                client.line("connected", how="punched")
                self.assertEqual(client.line("data")["text"], "raw hello")
                client.wait(0)
                self.assertEqual(host.line("data")["bytes"], "9")

    def test_two_clients_at_once(self):
        for second_ip in (CLIENT, OTHER):
            with self.subTest(second=second_ip):
                _, master, host, _ = self.trio()
                one = self.client(master, "--send", "from one")
                two = self.client(master, "--send", "from two", ip=second_ip)
                self.assertEqual(one.line("data")["text"], "from one")
                self.assertEqual(two.line("data")["text"], "from two")
                one.wait(0)
                two.wait(0)
                joined = {host.line("joined")["address"], host.line("joined")["address"]}
                self.assertEqual(joined, {Line(client.lines[0])["udp"] for client in (one, two)})

    @needs(MANY_IPS, "127.0.0.2 to 127.0.0.4 (Wine sends from 127.0.0.1 instead)")
    def test_two_hosts(self):
        master, address, _, first = self.trio()
        _, second = self.host(address, ip=OTHER)
        master.line("host-added")
        for server, expected in ((HOST, first), (OTHER, second)):
            client = self.client(address, server=server)
            self.assertEqual(client.line("connected")["server"], expected)
            client.wait(0)

    def test_host_that_ended_is_not_found(self):
        master, address, host, _ = self.trio()
        host.end()
        self.assertEqual(split_address(master.line("host-removed", reason="closed")["address"])[0], HOST)
        client = self.client(address)
        client.line("failed", reason="host_not_found")
        client.wait(1)

    @unittest.skipIf(EMULATED, "SKIPPED under emulation: the port of a killed program may stay taken there")
    def test_host_returns_to_a_master_that_restarts(self):
        master, address, host, _ = self.trio()
        master.end()
        host.line("unregistered")
        master = self.punch("master", "--bind", "127.0.0.1", "--port", str(split_address(address)[1]), "--seconds", LIFE)
        master.line("host-added")
        host.line("registered")
        client = self.client(address)
        client.line("connected", how="punched")
        client.wait(0)


class NotPunching(Test):
    def test_host_not_found(self):
        master, address = self.master()
        client = self.client(address, server="127.0.0.9")
        failed = client.line("failed", reason="host_not_found")
        self.assertTrue(failed["advice"])
        self.assertEqual(failed["stage"], "master")
        self.assertGreaterEqual(int(failed["announces"]), 1)
        self.assertEqual((failed["knocks"], failed["heard"]), ("0", "0"))
        client.wait(1)
        not_found = master.line("not-found")
        self.assertEqual(not_found["server"], "127.0.0.9")
        self.assertEqual(split_address(not_found["client"])[0], CLIENT)

    def test_not_found_but_direct(self):
        _, address = self.master()
        dead = "127.0.0.1:%d" % closed_port(self)
        host, host_address = self.host(dead, registered=False)
        self.assertTrue(host.line("unregistered")["reason"])
        client = self.client(address, "--direct-port", str(split_address(host_address)[1]), "--send", "direct hello")
        self.assertEqual(client.line("fallback", reason="host_not_found")["server"], host_address)
        self.assertEqual(client.line("connected", how="direct")["server"], host_address)
        self.assertEqual(client.line("data")["text"], "direct hello")
        client.wait(0)
        host.line("joined", how="direct")

    def test_no_punch(self):
        dead = "127.0.0.1:%d" % closed_port(self)
        host, host_address = self.host(dead, registered=False)
        client = self.client(None, "--no-punch", "--direct-port", str(split_address(host_address)[1]), "--send", "hi")
        self.assertEqual(client.line("connected", how="direct")["server"], host_address)
        self.assertEqual(client.line("data")["text"], "hi")
        client.wait(0)
        self.assertEqual(host.line("joined")["how"], "direct")

    def test_master_down(self):
        dead = "127.0.0.1:%d" % closed_port(self)
        client = self.client(dead)
        client.line("failed", reason="master_unreachable")
        client.wait(1)
        client = self.client(dead, "--direct-port", str(closed_port(self, HOST)), "--timeout", "1000")
        client.line("fallback", reason="master_unreachable")
        failed = client.line("failed", reason="host_silent")
        self.assertEqual((failed["stage"], failed["cause"]), ("direct", "master_unreachable"))
        self.assertGreaterEqual(int(failed["knocks"]), 2)
        client.wait(1)

    def test_master_silent(self):
        mute = socket.socket()
        self.addCleanup(mute.close)
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        client = self.client("127.0.0.1:%d" % mute.getsockname()[1], "--timeout", "1000")
        client.line("failed", reason="master_silent", stage="master")
        client.wait(1)

    def test_name_without_address(self):
        client = self.client("name-without-address.invalid")
        client.line("failed", reason="resolve_failed")
        client.wait(1)

    @needs(MANY_IPS, "127.0.0.2 to 127.0.0.4 (Wine sends from 127.0.0.1 instead)")
    def test_require_mediation(self):
        _, master, host, host_address = self.trio("--require-mediation")
        port = str(split_address(host_address)[1])
        stranger = self.client(None, "--no-punch", "--direct-port", port, "--timeout", "1000")
        stranger.line("failed", reason="host_silent")
        stranger.wait(1)
        client = self.client(master, "--send", "let me in", ip=OTHER)
        client.line("connected", how="punched")
        client.line("data")
        client.wait(0)
        self.assertEqual(split_address(host.line("joined")["address"])[0], OTHER)

    @needs(MANY_IPS, "127.0.0.2 to 127.0.0.4 (Wine sends from 127.0.0.1 instead)")
    def test_max_peers(self):
        _, master, host, _ = self.trio("--max-peers", "1")
        first = self.client(master)
        first.line("connected")
        first.wait(0)
        second = self.client(master, "--timeout", "1000", ip=OTHER)
        second.line("failed", reason="host_one_way")
        second.wait(1)
        self.assertEqual(len([line for line in host.lines if line.startswith("joined ")]), 1)

    def test_no_echo(self):
        host = Player(self, HOST)
        client = self.client(None, "--no-punch", "--direct-port", str(host.port), "--timeout", "1500", "--send", "hello?")
        host.send(b"\xfc", host.receive_until(b"\xfd")[2])
        host.receive_until(b"hello?")
        host.receive_until(b"hello?")  # sent again
        client.line("failed", reason="no_echo", stage="connected")
        client.wait(1)


class Data(Test):
    CASES = [
        (b"hello", "hello"),
        (b"", ""),
        (b"several words a=b \"quoted\"", 'several words a=b "quoted"'),
        (b"two\nlines\r\n", r"two\nlines\r\n"),
        (b"data peer=9\nleft peer=1", r"data peer=9\nleft peer=1"),
        (b"tab\tNUL\0", r"tab\tNUL\x00"),
        (b"\\n", r"\\n"),
        (b"\x1b[31mred\x07\x7f", r"\x1b[31mred\x07\x7f"),
        ("grün ☃ 😀".encode(), "grün ☃ 😀"),
        (b"\xff\xfe\x80", r"\xff\xfe\x80"),
        (b"\xc0\xaf \xe0\x80\xaf \xf0\x80\x80\xaf", r"\xc0\xaf \xe0\x80\xaf \xf0\x80\x80\xaf"),
        (b"\xed\xa0\x80 \xf4\x90\x80\x80 \xf5\x80\x80\x80", r"\xed\xa0\x80 \xf4\x90\x80\x80 \xf5\x80\x80\x80"),
        (b"cut \xe2\x98", r"cut \xe2\x98"),
        ("\u0085\u2028\u2029\u202e\u2066".encode(), r"\xc2\x85\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\xae\xe2\x81\xa6"),
        (b"\xfb and more", r"\xfb and more"),
        (bytes(range(256)), None),
        (b"x" * 4096, "x" * 4096),
    ]

    def test_host_prints_and_echoes(self):
        host, address = self.host("127.0.0.1:%d" % closed_port(self), registered=False)
        to = split_address(address)
        for raw in (False, True):
            player = Player(self, CLIENT, raw)
            player.join(to)
            for payload, text in self.CASES:
                with self.subTest(payload=payload[:40], raw=raw):
                    player.send(payload, to)
                    self.assertEqual(player.receive_until(payload)[1], not raw)  # answered in the form that it uses
                    data = host.line("data")
                    self.assertEqual(data["bytes"], str(len(payload)))
                    if text is not None:
                        self.assertEqual(data["text"], text)
                    self.assertTrue(all(c.isprintable() for c in data["text"]))

    def test_client_prints(self):
        for raw in (False, True):
            with self.subTest(raw=raw):
                host = Player(self, HOST, raw)
                client = self.client(None, "--no-punch", "--direct-port", str(host.port), "--send", "go",
                                     *(["--raw"] if raw else []))
                knock, has_header, source = host.receive_until(b"\xfd")
                self.assertEqual(has_header, not raw)
                host.send(b"\xfc", source)
                host.receive_until(b"go")
                cases = [(payload, text) for payload, text in self.CASES if text is not None]
                for payload, text in cases:
                    host.send(payload, source)
                    data = client.line("data")
                    self.assertEqual((data["bytes"], data["text"]), (str(len(payload)), text))
                host.send(b"go", source)
                client.wait(0)

    def test_what_is_protocol_to_the_client_is_not_echoed(self):
        host, address = self.host("127.0.0.1:%d" % closed_port(self), registered=False)
        player = Player(self, CLIENT)
        player.join(split_address(address))
        player.send(b"\xfc", split_address(address))
        self.assertEqual(host.line("data")["text"], r"\xfc")
        host.error_line("no echo")
        player.send(b"still there?", split_address(address))
        player.receive_until(b"still there?")

    def test_strangers_are_not_heard(self):
        host, address = self.host("127.0.0.1:%d" % closed_port(self), registered=False)
        stranger = Player(self, OTHER)
        stranger.send(b"I never knocked", split_address(address))
        player = Player(self, CLIENT)
        player.join(split_address(address))
        player.send(b"knocked", split_address(address))
        self.assertEqual(host.line("data")["text"], "knocked")
        self.assertEqual([line for line in host.lines if "never" in line], [])

    @unittest.skipIf(EMULATED, "SKIPPED under emulation: bytes in arguments are converted there")
    def test_send_any_bytes(self):
        _, master, host, _ = self.trio()
        client = self.client(master, b"--send=--\xff\n\\ \xe2\x98\x83")
        self.assertEqual(client.line("data")["text"], "--\\xff\\n\\\\ ☃")
        client.wait(0)

    @unittest.skipIf(EMULATED, "SKIPPED under emulation: bytes in arguments are converted there")
    def test_send_what_is_protocol(self):
        _, master, _, _ = self.trio()
        client = self.client(master, "--send", b"\xfd")
        client.wait(1)
        client.error_line("cannot send")


def master_that_answers(test, answer):
    """A master of a few lines that answers every connection with these bytes, once it was asked for its lobby."""
    server = socket.create_server(("127.0.0.1", 0))
    test.addCleanup(server.close)
    server.settimeout(child.LIMIT)
    asked = []

    def serve():
        try:
            connection, _ = server.accept()
        except OSError:
            return  # the test is over
        with connection:
            connection.settimeout(child.LIMIT)
            request = b""
            while request.count(b"\n") < 12:
                request += connection.recv(4096)
            asked.append(request)
            connection.sendall(answer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    return "127.0.0.1:%d" % server.getsockname()[1], asked


class Lobby(Test):
    STRINGS = [("zeta", "b", "<&>='\"\\"), ("alpha", "a", "\u00e4\u20ac\U0001f600"), ("mid", "b", "two words")]

    def lobby(self, master, *more):
        run = self.punch("lobby", "--master", master, *more)
        run.wait(0)
        return run

    def json(self, master, *more):
        run = self.lobby(master, "--json", *more)
        self.assertEqual(len(run.lines), 1)
        return json.loads(run.lines[0])

    def names(self, master, *more):
        return [entry["data1"] for entry in self.json(master, *more)]

    def hosts(self):
        """A master with three hosts, in the order of STRINGS."""
        master, address = self.master()
        for strings in self.STRINGS:
            words = [word for i, text in enumerate(strings) for word in ("--data%d" % (i + 1), text)]
            self.host(address, *words, "--data8=--last")
            master.line("host-added")
        return address

    def wait_for_lobby(self, master, count):
        """reg2 may come a moment after the host was added."""
        end = time.monotonic() + child.LIMIT
        while len(self.json(master)) < count and time.monotonic() < end:
            pass

    def test_json(self):
        master = self.hosts()
        self.wait_for_lobby(master, 3)
        entries = self.json(master, "--asc")
        self.assertEqual([tuple(entry["data%d" % i] for i in (1, 2, 3)) for entry in entries], self.STRINGS)
        for entry in entries:
            self.assertEqual(list(entry), ["ip"] + ["data%d" % i for i in range(1, 9)] + ["createdTime"])
            self.assertEqual((entry["ip"], entry["data4"], entry["data8"]), (HOST, "", "--last"))
            self.assertLess(abs(entry["createdTime"] - time.time()), 3600)

    def test_sorted_filtered_limited(self):
        master = self.hosts()
        self.wait_for_lobby(master, 3)
        for arguments, expected in (
                (["--sort", "date", "--asc"], ["zeta", "alpha", "mid"]),
                (["--sort", "date"], ["mid", "alpha", "zeta"]),
                ([], ["mid", "alpha", "zeta"]),
                (["--sort", "data1", "--asc"], ["alpha", "mid", "zeta"]),
                (["--sort", "data1"], ["zeta", "mid", "alpha"]),
                (["--sort", "data2", "--asc", "--limit", "1"], ["alpha"]),
                (["--filter2", "b", "--sort", "data1", "--asc"], ["mid", "zeta"]),
                (["--filter1", "mid", "--filter2", "b"], ["mid"]),
                (["--filter1", "mi"], []),
                (["--filter3", "two words"], ["mid"]),
                (["--limit", "0"], []),
                (["--limit", "2", "--asc"], ["zeta", "alpha"]),
                (["--limit", "1000"], ["mid", "alpha", "zeta"])):
            with self.subTest(arguments=arguments):
                self.assertEqual(self.names(master, *arguments), expected)

    def test_table(self):
        master = self.hosts()
        self.wait_for_lobby(master, 3)
        run = self.lobby(master, "--asc")
        self.assertIn("3 hosts", run.errors)
        self.assertEqual(run.lines[0].split(), ["ADDRESS", "REGISTERED", "DATA1", "DATA2", "DATA3", "DATA8"])
        self.assertEqual(len(run.lines), 4)
        columns = [run.lines[0].index(title) for title in ("REGISTERED", "DATA1", "DATA2", "DATA3")]
        for line, strings in zip(run.lines[1:], self.STRINGS):
            self.assertRegex(line, r"^%s +\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ  " % HOST)
            for column, text in zip(columns[1:], strings):
                self.assertTrue(line[column:].startswith(text.replace("\\", "\\\\")), line)
                self.assertEqual(line[column - 2:column], "  ")
        empty = self.lobby(master, "--filter1", "nothing")
        self.assertEqual(empty.lines, ["ADDRESS  REGISTERED"])
        self.assertIn("0 hosts", empty.errors)

    def test_what_others_send_is_safe_for_a_terminal(self):
        nasty = "\x1b[2J\r\n\u202e\u0085x"
        answer = b"\xf9" + json.dumps([{"ip": "10.1.2.3", "data1": nasty, "more": [None]}]).encode() + b"\n"
        master, _ = master_that_answers(self, answer)
        run = self.lobby(master)
        self.assertEqual(run.lines[1].split()[-1], "\\x1b[2J\\r\\n\\xe2\\x80\\xae\\xc2\\x85x")
        master, asked = master_that_answers(self, answer)
        self.assertEqual(self.json(master)[0]["data1"], nasty)
        self.assertEqual(asked, [b"lobby2\n\0" + b"\n\0" * 8 + b"date\n\0ASC\n\0\n\0"])  # ASC: newest first

    def test_large(self):
        entries = [{"ip": "10.%d.%d.%d" % (i >> 16, i >> 8 & 255, i & 255), "data1": "x" * (i % 100), "createdTime": i}
                   for i in range(20000)]
        master, _ = master_that_answers(self, b"\xf9" + json.dumps(entries).encode() + b"\n")
        got = self.json(master)
        self.assertEqual([(e["ip"], e["data1"], e["createdTime"]) for e in got],
                         [(e["ip"], e["data1"], e["createdTime"]) for e in entries])

    def test_no_list(self):
        for answer, reason in ((b"\xf9{}\n", "master_malformed"), (b"HTTP/1.1 400 Bad Request\r\n", "master_malformed"),
                               (b"", "master_closed"), (b"\xf9[{\"ip\":\"1.2.3.4\"}", "master_closed")):
            with self.subTest(answer=answer):
                master, _ = master_that_answers(self, answer)
                run = self.punch("lobby", "--master", master)
                run.wait(1)
                self.assertIn(reason, run.errors)
                self.assertEqual(run.lines, [])
        down = self.punch("lobby", "--master", "127.0.0.1:%d" % closed_port(self))
        down.wait(1)
        self.assertIn("master_unreachable", down.errors)
        with socket.create_server(("127.0.0.1", 0)) as silent:
            run = self.punch("lobby", "--master", "127.0.0.1:%d" % silent.getsockname()[1], "--timeout", "100")
            run.wait(1)
            self.assertIn("master_silent", run.errors)


class HostData(Test):
    def test_client_prints_the_hosts_strings(self):
        _, master, _, _ = self.trio("--data1", "death match", "--data3", "\u00e4\\", "--data8", "=")
        client = self.client(master, "--data")
        client.line("connected")
        strings = [client.line("host-data", number=str(i + 1))["text"] for i in range(8)]
        self.assertEqual(strings, ["death match", "", "\u00e4\\\\", "", "", "", "", "="])
        client.wait(0)

    def test_data_and_echo(self):
        _, master, _, _ = self.trio("--data1", "a")
        client = self.client(master, "--data", "--send", "hello")
        client.wait(0)
        events = [Line(line).event for line in client.lines]
        self.assertEqual(events.count("host-data"), 8)
        self.assertGreaterEqual(events.count("data"), 1)

    def test_long_strings(self):
        words = [word for i in range(1, 9) for word in ("--data%d" % i, str(i) * 1000)]
        _, master, _, _ = self.trio(*words)
        client = self.client(master, "--data")
        self.assertEqual([client.line("host-data")["text"] for _ in range(8)], [str(i) * 1000 for i in range(1, 9)])
        client.wait(0)

    def test_host_without_strings_to_give(self):
        player = Player(self, HOST)
        client = self.client(None, "--no-punch", "--direct-port", str(player.port), "--data", "--timeout", "1500")
        knock, _, source = player.receive()
        self.assertEqual(knock, b"\xfd")
        player.send(b"\xfc", source)
        player.receive_until(b"\xfb")
        client.wait(1)
        self.assertEqual(client.line("failed")["reason"], "no_data")


class Usage(Test):
    CANNOT_OPEN = r"\Apunch: cannot open %s on %s: .+ \(os error \d+\)\n\Z"

    def test_wrong_usage(self):
        client = ["client", "--master", "127.0.0.1", "--server", "127.0.0.1"]
        host = ["host", "--master", "127.0.0.1"]
        cases = [
            ("serve", ["serve"]), ("--port", ["--port", "1"]), ("extra", ["master", "extra"]),
            ("--wrong", ["master", "--wrong"]), ("--por", ["master", "--por", "1"]), ("-p", ["master", "-p", "1"]),
            ("--server", ["host", "--server", "127.0.0.1"]), ("--send", host + ["--send", "x"]),
            ("--seconds", client + ["--seconds", "1"]), ("--port", client + ["--port", "1"]),
            ("--master", ["master", "--master", "127.0.0.1"]),
            ("--port", ["master", "--port"]), ("--port", ["master", "--port", "--seconds", "1"]),
            ("--bind", ["master", "--bind", "somewhere"]), ("--bind", ["master", "--bind", "127.0.0.1,"]),
            ("--bind", ["master", "--bind", "127.0.0.1:6510"]), ("--bind", host + ["--bind", "127.0.0.1,::1"]),
            ("--master", ["host"]), ("--master", ["client", "--server", "127.0.0.1"]),
            ("--server", ["client", "--master", "127.0.0.1"]),
            ("--direct-port", ["client", "--server", "127.0.0.1", "--no-punch"]),
            ("--raw", host + ["--raw=1"]),
            ("--server", client + ["--server", "127.0.0.1:5"]), ("--server", client + ["--server", "300.0.0.1"]),
            ("--send", client + ["--send", ""]), ("--send", client + ["--send", "x" * 4097]),
        ]
        lobby = ["lobby", "--master", "127.0.0.1"]
        cases += [("--master", ["lobby"]), ("--sort", lobby + ["--sort", "name"]), ("--sort", lobby + ["--sort", "data9"]),
                  ("--limit", lobby + ["--limit", "-1"]), ("--limit", lobby + ["--limit", "two"]),
                  ("--filter9", lobby + ["--filter9", "x"]), ("--filter1", lobby + ["--filter1"]),
                  ("--filter1", lobby + ["--filter1", "a\nb"]), ("--filter", lobby + ["--filter", "x"]),
                  ("--data1", lobby + ["--data1", "x"]), ("--data", lobby + ["--data"]), ("--server", lobby + ["--server", "::1"]),
                  ("--data0", host + ["--data0", "x"]), ("--data", host + ["--data"]), ("--data2", host + ["--data2", "a\x7f"]),
                  ("--data3", host + ["--data3", "x" * 4097]), ("--filter1", host + ["--filter1", "x"]),
                  ("--data1", client + ["--data1", "x"]), ("--data", client + ["--data=1"]), ("--json", client + ["--json"])]
        cases += [("--port", ["master", "--port", n]) for n in
                  ("-1", "65536", "+1", " 1", "1 ", "0x10", "1e3", "", "99999999999")]
        cases += [("--seconds", ["master", "--seconds", n]) for n in ("0", "1.5", "1000000001")]
        cases += [("--max-peers", host + ["--max-peers", n]) for n in ("0", "65536", "many")]
        cases += [("--direct-port", client + ["--direct-port", n]) for n in ("0", "65536")]
        cases += [("--timeout", client + ["--timeout=" + n]) for n in ("0", "4294967296", "soon")]
        cases += [("--master", ["host", "--master", a]) for a in
                  ("", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:", "[::1]x", "a b", "name:0", "name:x", "1.2.3.4.5")]
        for option, arguments in cases:
            with self.subTest(arguments=arguments):
                punch = self.punch(*arguments)
                punch.wait(2)
                self.assertEqual(punch.lines, [])
                first = punch.errors.splitlines()[0]
                self.assertTrue(first.startswith("punch: " + option), first)
                self.assertIn("usage:", punch.errors)

    def test_help_and_version(self):
        for arguments in (["--help"], ["-h"], ["master", "--help"], ["client", "--server", "127.0.0.1", "-h"]):
            punch = self.punch(*arguments)
            punch.wait(0)
            self.assertTrue(punch.lines[0].startswith("usage: punch"))
            self.assertEqual(punch.errors, "")
            self.assertLessEqual(max(map(len, punch.lines)), 120)
        punch = self.punch("--version")
        punch.wait(0)
        self.assertRegex("\n".join(punch.lines), r"\Apunch \d+\.\d+\.\d+\Z")

    @unittest.skipUnless(os.path.exists("/dev/full") and not EMULATED, "SKIPPED, this system has no /dev/full")
    def test_output_that_nobody_gets_is_a_failure(self):
        with open("/dev/full", "wb") as full:
            for arguments in (["--help"], ["master", "--bind", "127.0.0.1", "--port", "0"]):
                self.punch(*arguments, stdout=full).wait(1)

    def test_port_in_use(self):
        tcp = socket.socket()
        self.addCleanup(tcp.close)
        tcp.bind(("127.0.0.1", 0))
        tcp.listen()
        port = tcp.getsockname()[1]
        punch = self.punch("master", "--bind", "127.0.0.1", "--port", str(port))
        punch.wait(1)
        self.assertRegex(punch.errors, self.CANNOT_OPEN % ("master", r"127\.0\.0\.1 port %d" % port))
        udp = Player(self, "127.0.0.1")
        for arguments in (["master"], ["host", "--master", "127.0.0.1"]):
            punch = self.punch(*arguments, "--bind", "127.0.0.1", "--port", str(udp.port))
            punch.wait(1)
            self.assertRegex(punch.errors, self.CANNOT_OPEN % (arguments[0], r"127\.0\.0\.1 port %d" % udp.port))
            self.assertEqual(punch.lines, [])

    def test_port_in_use_by_another_master(self):
        _, address = self.master()
        punch = self.punch("master", "--bind", "127.0.0.1", "--port", str(split_address(address)[1]))
        punch.wait(1)
        self.assertIn("cannot open master", punch.errors)

    def test_address_of_another_machine(self):
        for arguments in (["master", "--port", "0"], ["host", "--master", "127.0.0.1"],
                          ["client", "--master", "127.0.0.1", "--server", "127.0.0.1"]):
            if EMULATED and arguments[0] != "master":
                continue  # Wine lets UDP sockets bind to any address
            punch = self.punch(*arguments, "--bind", "192.0.2.1")
            punch.wait(1)
            self.assertRegex(punch.errors, self.CANNOT_OPEN % (arguments[0], r"192\.0\.2\.1"))


class End(Test):
    def test_seconds(self):
        master = self.punch("master", "--bind", "127.0.0.1", "--port", "0", "--seconds", "1")
        address = master.line("ready")["udp"]
        self.host(address)
        self.punch("host", "--master", address, "--seconds", "1").wait(0)
        master.wait(0)

    @unittest.skipIf(EMULATED, "SKIPPED: no POSIX signals under emulation")
    def test_signals(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            master, address, host, _ = self.trio()
            host.process.send_signal(number)
            host.wait(0)
            master.line("host-removed", reason="closed")
            master.process.send_signal(number)
            master.wait(0)
            self.assertEqual(host.errors + master.errors, "")

    @unittest.skipIf(EMULATED, "SKIPPED: no POSIX signals under emulation")
    def test_interrupted_client(self):
        client = self.client(None, "--no-punch", "--direct-port", str(closed_port(self, HOST)), "--timeout", "60000")
        client.line("ready")
        client.process.send_signal(signal.SIGTERM)
        client.wait(1)
        client.error_line("interrupted")


if __name__ == "__main__":
    given = child.main("PATH_OF_PUNCH")
    PUNCH = child.executable(given)
    if not PUNCH:
        sys.exit("no such program: " + given)
    child.keep_emulator(PUNCH)
    if not MANY_IPS:
        print("Without 127.0.0.2 to 127.0.0.4: all programs use 127.0.0.1.", file=sys.stderr)
    unittest.main()
