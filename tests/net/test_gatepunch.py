"""gatepunch as its operator and its players see it: the program over loopback, its log, signals and exit codes.

usage: test_gatepunch.py PATH_OF_GATEPUNCH [EMULATOR ...]
"""
import json
import os
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest

sys.dont_write_bytecode = True
import child  # noqa: E402
from child import Child, can_bind, datagram, needs  # noqa: E402

GATEPUNCH = None
EMULATED = child.emulated()
POSIX = not EMULATED
MANY_IPS = POSIX and all(can_bind("127.0.0.%d" % i) for i in (2, 3))
IP6 = can_bind("::1")
HOST, CLIENT = ("127.0.0.2", "127.0.0.3") if MANY_IPS else ("127.0.0.1",) * 2
NOBODY = 65534
VERSION = b"\xf61.2.5\n"
HOSTILE = ['"quotes" \\ and \\u0000', "<script>alert('&')</script>", "grün ☃ 😀", "\u202eright to left\u2028", "]}],{[",
           "\x1b[31mred", "{\"time\":0}", "'=,"]


def split_address(text):
    ip, _, port = text.rpartition(":")
    return ip.strip("[]"), int(port)


class Peer:
    """Whoever talks to the master: a TCP connection and a UDP socket."""

    def __init__(self, test, to, ip="127.0.0.1"):
        self.to = to
        self.tcp = socket.create_connection(to, child.LIMIT, (ip, 0))
        self.udp = socket.socket(self.tcp.family, socket.SOCK_DGRAM)
        self.udp.bind((ip, 0))
        self.udp_port = self.udp.getsockname()[1]
        test.addCleanup(self.close)

    def close(self):
        self.tcp.close()
        self.udp.close()

    def send(self, *lines):
        """Lines as a game sends them: with LF and NUL."""
        self.tcp.sendall(b"".join((line if isinstance(line, bytes) else line.encode()) + b"\n\0" for line in lines))

    def send_udp(self, command):
        self.udp.sendto(datagram(command + b"\n\0"), self.to)

    def register(self, *data, udp=True):
        if udp:
            self.send_udp(b"reg")
        self.send("reg2", "1.2.4", *data, *[""] * (8 - len(data)))

    def receive(self, count):
        got = b""
        while len(got) < count:
            more = self.tcp.recv(count - len(got))
            if not more:
                raise AssertionError("closed after %r" % got)
            got += more
        return got

    def receive_to(self, end):
        got = self.receive(1)
        while not got.endswith(end):
            got += self.receive(1)
        return got

    def answer(self, *lines):
        """Of `version`, asked after these lines; what came before it first."""
        self.send(*lines, "version")
        return self.receive_to(VERSION)

    def introduction(self):
        """(ip, port) of an introduction"""
        if self.receive(1) != b"\xff":
            raise AssertionError("no introduction")
        return self.receive_to(b"\0")[:-1].decode(), int(self.receive_to(b"\0")[:-1])

    def lobby(self, *filters, sort="date", direction="", limit=""):
        """The list of hosts, as text"""
        self.send("lobby2", *filters, *[""] * (8 - len(filters)), sort, direction, limit)
        if self.receive(1) != b"\xf9":
            raise AssertionError("no list")
        return self.receive_to(b"\n").decode()

    def is_closed(self):
        """Waits until the master has closed the connection."""
        try:
            return self.tcp.recv(1) == b""
        except ConnectionError:
            return True


class Gate(Child):
    """A running gatepunch that logs JSON."""

    def entry(self, item, **fields):
        """The next entry of this item whose fields have these values."""
        def look():
            while self.taken < len(self.lines):
                self.taken += 1
                entry = json.loads(self.lines[self.taken - 1])
                if entry["item"] == item and all(entry.get(k) == v for k, v in fields.items()):
                    return entry
            return None
        return self._wait_for(look, "%s %s" % (item, fields or ""))

    def counters(self, **fields):
        """Waits until these counters have these values."""
        end = time.monotonic() + child.LIMIT
        while True:
            if POSIX:
                self.process.send_signal(signal.SIGUSR1)
            entry = self.entry("stats")  # under Wine by --stats
            if all(entry[k] == v for k, v in fields.items()):
                return entry
            if time.monotonic() > end:
                raise AssertionError("waited %d s for %s, last seen %s" % (child.LIMIT, fields, entry))


class Test(unittest.TestCase):
    def gate(self, *arguments, ip="127.0.0.1", **more):
        """A running master and its address."""
        bind = ["--bind", ip] if ip else []
        stats = [] if POSIX else ["--stats", "1"]
        gate = Gate(self, GATEPUNCH, "--port", "0", "--log-format", "json", *bind, *stats, *arguments, **more)
        ready = gate.entry("ready", role="master")
        self.assertEqual(ready["udp"], ready["tcp"])
        gate.addresses = [split_address(a) for a in ready["udp"].split(",")]
        gate.ready = ready
        return gate, gate.addresses[0]

    def peer(self, to, ip="127.0.0.1"):
        return Peer(self, to, ip)

    def host(self, gate, *data, ip=HOST):
        host = self.peer(gate.addresses[0], ip)
        host.register(*data)
        added = gate.entry("host_added")
        self.assertEqual(split_address(added["address"])[0], ip)
        return host

    def directory(self):
        path = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, path, ignore_errors=True)
        return path

    def stop(self, gate, number=signal.SIGTERM):
        """Ends it in order; the last entry."""
        gate.process.send_signal(number)
        gate.wait(0)
        return json.loads(gate.lines[-1])


class Protocol(Test):
    def test_introduction(self):
        gate, to = self.gate()
        host = self.host(gate)
        host.send("ping")
        client = self.peer(to, CLIENT)
        client.send_udp(b"connect")
        client.send("connect", HOST)
        self.assertEqual(client.introduction(), (HOST, host.udp_port))
        self.assertEqual(host.introduction(), (CLIENT, client.udp_port))
        entry = gate.entry("introduction")
        self.assertEqual(entry["level"], "info")
        self.assertEqual(split_address(entry["client"]), (CLIENT, client.udp_port))
        self.assertEqual(split_address(entry["host"]), (HOST, host.udp_port))
        host.close()
        removed = gate.entry("host_removed", reason="closed")
        self.assertEqual(split_address(removed["address"])[0], HOST)
        counted = gate.counters(hosts=0)
        self.assertEqual((counted["introductions"], counted["registrations"], counted["requested"]), (1, 1, 1))

    def test_not_found(self):
        gate, to = self.gate()
        client = self.peer(to, CLIENT)
        client.send_udp(b"connect")
        client.send("connect", "127.0.0.9")
        self.assertEqual(client.receive(1), b"\xfe")
        entry = gate.entry("not_found", asked="127.0.0.9")
        self.assertEqual(split_address(entry["client"])[0], CLIENT)
        gate.counters(not_found=1)

    def test_version(self):
        _, to = self.gate()
        self.assertEqual(self.peer(to).answer("nonsense", "", "ping"), VERSION)

    def test_version_that_is_too_low(self):
        gate, to = self.gate()
        host = self.peer(to)
        host.send("reg2", "1.1.9", *[""] * 8)
        self.assertTrue(host.is_closed())
        gate.counters(closed_version=1, hosts=0)

    def test_testing(self):
        for arguments, flag, infos in (
                ([], b"\0", b"\xf7\0"),
                (["--name", "unheard"], b"\0", b"\xf7\0"),
                (["--testing"], b"\1", b"\xf7gmpunch\n1.2.5\n1.2.0\n"),
                (["--testing", "--name=The <gate> & \"co\""], b"\1", b"\xf7The <gate> & \"co\"\n1.2.5\n1.2.0\n")):
            with self.subTest(arguments=arguments):
                _, to = self.gate(*arguments)
                peer = self.peer(to)
                peer.send("istesting")
                self.assertEqual(peer.receive(2), b"\xf8" + flag)
                rest = peer.answer("testinginfos")
                self.assertIn(rest, (infos + VERSION, b"\n" + infos + VERSION))

    def test_lobby(self):
        gate, to = self.gate()
        before = int(time.time())
        self.host(gate, "game", "map 1", *HOSTILE[:6])
        peer = self.peer(to, CLIENT)
        text = peer.lobby()
        entry, = json.loads(text)
        self.assertEqual(list(entry), ["ip"] + ["data%d" % i for i in range(1, 9)] + ["createdTime"])
        self.assertEqual((entry["ip"], entry["data1"], entry["data2"]), (HOST, "game", "map 1"))
        for i, sent in enumerate(HOSTILE[:6]):  # control and format characters are dropped from a line
            got = entry["data%d" % (i + 3)]
            self.assertEqual("".join(c for c in got if c.isprintable()), "".join(c for c in sent if c.isprintable()))
        self.assertLessEqual(abs(entry["createdTime"] - before), child.LIMIT + 1)
        for c in "<>&'":
            self.assertNotIn(c, text)
        self.assertEqual(json.loads(peer.lobby("game", "map 1")), [entry])
        self.assertEqual(json.loads(peer.lobby("another")), [])
        counted = gate.counters(listed=1)
        self.assertEqual(counted["lobby_requests"], 3)
        self.assertGreater(counted["data_bytes"], 0)
        node = shutil.which("node")
        if node:
            read = subprocess.run([node, "-e", "console.log(JSON.stringify(JSON.parse(require('fs').readFileSync(0))))"],
                                  input=text.encode(), stdout=subprocess.PIPE, check=True, timeout=child.LIMIT)
            self.assertEqual(json.loads(read.stdout), [entry])
        else:
            print("Node is not here, so the list is read by Python alone.", file=sys.stderr)

    @needs(MANY_IPS, "127.0.0.2 and 127.0.0.3")
    def test_lobby_is_sorted_and_limited(self):
        gate, to = self.gate()
        for ip, name in (("127.0.0.1", "b"), ("127.0.0.2", "c"), ("127.0.0.3", "a")):
            self.host(gate, name, ip=ip)
        peer = self.peer(to)
        for direction, names in (("DESC", "abc"), ("ASC", "cba")):  # as deployed masters have it
            listed = json.loads(peer.lobby(sort="data1", direction=direction))
            self.assertEqual("".join(entry["data1"] for entry in listed), names)
        self.assertEqual(len(json.loads(peer.lobby(limit="2"))), 2)

    def test_disable_lobby(self):
        gate, to = self.gate("--disable-lobby")
        self.assertEqual(gate.ready["lobby"], "off")
        self.host(gate, "game")
        self.assertEqual(self.peer(to).answer("lobby2", *[""] * 8, "date", "ASC", ""), VERSION)

    def test_disable_lobby_but_testing(self):
        gate, to = self.gate("--disable-lobby", "--testing")
        self.assertEqual(gate.ready["lobby"], "on")
        self.host(gate, "game")
        self.assertEqual([entry["data1"] for entry in json.loads(self.peer(to).lobby())], ["game"])


class Binds(Test):
    def check(self, *arguments):
        gate, _ = self.gate(*arguments, ip=None)
        for to in gate.addresses:
            self.assertEqual(self.peer(to, to[0]).answer(), VERSION)
        return gate.addresses

    @needs(MANY_IPS, "127.0.0.2 and 127.0.0.3")
    def test_several(self):
        addresses = self.check("--bind", "127.0.0.1,127.0.0.2", "--bind=127.0.0.3")
        self.assertEqual([ip for ip, _ in addresses], ["127.0.0.1", "127.0.0.2", "127.0.0.3"])
        self.assertEqual(len({port for _, port in addresses}), 1)

    @needs(IP6, "IPv6 loopback address")
    def test_ipv6(self):
        self.assertEqual([ip for ip, _ in self.check("--bind", "127.0.0.1", "--bind", "::1")], ["127.0.0.1", "::1"])

    def test_any_address(self):
        gate, _ = self.gate(ip=None)
        port = gate.addresses[0][1]
        self.assertEqual(self.peer(("127.0.0.1", port)).answer(), VERSION)

    def test_given_port(self):
        while True:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port = probe.getsockname()[1]
            gate = Gate(self, GATEPUNCH, "--log-format", "json", "--bind", "127.0.0.1", "-p", str(port))
            try:
                self.assertEqual(gate.entry("ready")["tcp"], "127.0.0.1:%d" % port)
                break
            except AssertionError:
                if gate.wait() != 3:  # somebody else was faster
                    raise
        self.assertEqual(self.peer(("127.0.0.1", port)).answer(), VERSION)


class Limits(Test):
    def test_all_at_once(self):
        limits = ["connections", "connections-per-ip", "ports", "ports-per-ip", "requests", "requests-per-connection",
                  "messages", "messages-per-connection"]
        times = ["hold", "client-port", "host-port", "command-timeout", "idle-timeout", "host-timeout", "write-timeout",
                 "introduction-gap"]
        _, to = self.gate(*["--max-%s=100" % name for name in limits], *["--%s-ms=10000" % name for name in times],
                          "--max-line=64", "--max-data=1000", "--max-lobby=4096", "--max-lobby-memory", "10000")
        self.assertEqual(self.peer(to).answer(), VERSION)
        _, to = self.gate(*["--%s-ms=never" % name for name in times[:-1]], "--introduction-gap-ms=0", "--log-rate=never")
        self.assertEqual(self.peer(to).answer(), VERSION)

    def test_connections(self):
        gate, to = self.gate("--max-connections", "2")
        self.assertEqual(gate.ready["connections"], 2)
        for _ in range(2):
            self.assertEqual(self.peer(to).answer(), VERSION)
        self.assertTrue(self.peer(to).is_closed())
        refused = gate.entry("refused", level="warning")
        self.assertEqual(split_address(refused["address"])[0], "127.0.0.1")
        gate.counters(refused_connections=1, connections=2)

    def test_connections_per_ip(self):
        gate, to = self.gate("--max-connections-per-ip", "1")
        self.assertEqual(self.peer(to).answer(), VERSION)
        self.assertTrue(self.peer(to).is_closed())
        gate.counters(refused_connections_ip=1)

    def test_ports(self):
        gate, to = self.gate("--max-ports", "1")
        for _ in range(2):
            self.peer(to).send_udp(b"connect")
        gate.counters(udp_received=2, refused_ports=1, ports=1)

    def test_line(self):
        gate, to = self.gate("--max-line", "100")
        peer = self.peer(to)
        peer.send("x" * 101)
        self.assertTrue(peer.is_closed())
        gate.counters(closed_line=1)

    def test_timeouts(self):
        for option, said, counter in (("--command-timeout-ms", "connect", "closed_command"),
                                      ("--idle-timeout-ms", None, "closed_idle"),
                                      ("--host-timeout-ms", "reg", "closed_host")):
            with self.subTest(option=option):
                gate, to = self.gate(option, "100")
                peer = self.peer(to)
                if said:
                    peer.send(said)
                self.assertTrue(peer.is_closed())
                gate.counters(**{counter: 1})

    def test_hold(self):
        gate, to = self.gate("--hold-ms", "1")
        host = self.host(gate)
        client = self.peer(to, CLIENT)
        client.send("connect", HOST)  # its UDP never comes
        self.assertEqual(client.introduction(), (HOST, host.udp_port))

    def test_requests(self):
        for option in ("--max-requests", "--max-requests-per-connection"):
            with self.subTest(option=option):
                gate, to = self.gate(option, "1", "--hold-ms", "never")
                host = self.host(gate)
                client = self.peer(to, CLIENT)
                client.send(*["connect", HOST] * 2)
                gate.counters(waiting=1, refused_requests=1)
                client.send_udp(b"connect")  # the first waits for it; answers keep their order
                self.assertEqual(client.introduction(), (HOST, host.udp_port))
                self.assertEqual(client.receive(1), b"\xfe")

    def test_data(self):
        gate, to = self.gate("--max-data", "100")
        self.host(gate, "x" * 200)
        gate.counters(refused_data=1, hosts=1, listed=0)
        self.assertEqual(json.loads(self.peer(to).lobby()), [])

    def test_lobby(self):
        gate, to = self.gate("--max-lobby", "4096", "--max-line", "4096")
        self.host(gate, "x" * 4096)
        self.assertEqual(json.loads(self.peer(to).lobby()), [])
        gate.counters(lobby_truncated=1)

    def test_lobby_memory(self):
        gate, to = self.gate("--max-lobby-memory", "4096", "--max-line", "4096")
        self.host(gate, "x" * 4096)
        peer = self.peer(to)
        peer.send("lobby2", *[""] * 8, "date", "", "")
        self.assertTrue(peer.is_closed())
        gate.counters(refused_lobby=1)


class Attackers(Test):
    """What ends, blocks or fools the Java master: after each of it an honest client is introduced to an honest host."""
    LIMITS = ["--command-timeout-ms", "2000", "--max-connections-per-ip", "64", "--write-timeout-ms", "2000"]

    def setUp(self):
        self.attacker = "127.0.0.4" if can_bind("127.0.0.4") else "127.0.0.1"
        self.master, self.to = self.gate(*self.LIMITS)

    def datagrams(self, *datagrams, ip=None):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.bind((ip or self.attacker, 0))
            for datagram in datagrams:
                udp.sendto(datagram, self.to)

    def says(self, *data):
        """A connection of the attacker that has said this."""
        peer = self.peer(self.to, self.attacker)
        peer.tcp.sendall(b"".join(data))
        return peer

    def until_closed(self, data, pause=0.0):
        """Sends it again and again; (bytes that were taken, seconds) until the master closed."""
        peer = self.peer(self.to, self.attacker)
        start, taken = time.monotonic(), 0
        peer.tcp.settimeout(child.LIMIT)
        try:
            while taken < 100 << 20:
                taken += peer.tcp.send(data)
                if pause:
                    peer.tcp.settimeout(pause)
                    try:
                        if peer.tcp.recv(1) == b"":
                            break
                    except socket.timeout:
                        pass
        except OSError:
            pass
        peer.tcp.settimeout(child.LIMIT)
        self.assertTrue(peer.is_closed())
        return taken, time.monotonic() - start

    def check(self, host, *data):
        """The host is listed with these strings, and an honest client finds it."""
        client = self.peer(self.to, CLIENT)
        client.send("connect", HOST)
        answered = []
        while not answered:  # as clients do: a flood may have filled the system's buffer
            client.send_udp(b"connect")
            answered = select.select([client.tcp], [], [], 0.25)[0]
        self.assertEqual(client.introduction(), (HOST, host.udp_port))
        told = host.introduction()
        while told[0] == self.attacker:  # it had asked, too
            told = host.introduction()
        self.assertEqual(told, (CLIENT, client.udp_port))
        listed = [entry["data1"] for entry in json.loads(client.lobby()) if entry["ip"] == HOST]
        self.assertEqual(listed, list(data))
        client.close()

    @needs(MANY_IPS, "127.0.0.2 and 127.0.0.3")
    def test_what_brings_the_java_master_down(self):
        self.datagrams(b"hi")  # as the first datagram ever: ends its UDP thread
        host = self.host(self.master, "game")
        lobby = [b"lobby2\n"] + [b"\n"] * 8 + [b"date\n", b"\n"]
        attacks = {
            "datagrams of 0 to 11 bytes": lambda: self.datagrams(*[fill * n for n in range(12) for fill in (b"x", b"\0")]),
            "datagrams of zeros, and of all sizes": lambda: self.datagrams(b"\0" * 1024, *[b"r" * (1 << n) for n in range(16)]),
            "all commands over UDP from a thousand ports": lambda: [
                self.datagrams(b"x" * 12 + command + b"\n\0") for command in [b"reg", b"connect", b"ping", b"reg2"] * 250],
            "a forged reg of the host's IP": lambda: self.datagrams(b"x" * 12 + b"reg\n\0", ip=HOST),
            "a request for an IP that sent UDP reg only": lambda: (
                self.datagrams(b"x" * 12 + b"reg\n\0"),
                self.assertEqual(self.says(b"connect\n%s\n" % self.attacker.encode()).receive(1), b"\xfe")),
            "a request whose UDP never comes": lambda: self.says(b"connect\n%s\n" % HOST.encode()).introduction(),
            "requests for no address": lambda: [
                self.says(b"connect\n%s\n" % text) for text in (b"", b"localhost", b"999.1.1.1", b"::", b"1.2.3.4:5", b"\xff")],
            "random bytes": lambda: [self.says(bytes(range(256)) * 255) for _ in range(8)],
            "half commands, then a reset": lambda: [
                self.half(text) for text in (b"reg", b"reg2\n1.2", b"connect\n", b"lobby2\n\n")],
            "versions that are none": lambda: [
                self.says(b"reg2\n" + version + b"\n" + b"\n" * 8) for version in (b"", b"x", b"-1", b"1.2", b"9" * 500)],
            "a hundred idle connections": lambda: [self.says() for _ in range(100)],  # and they stay so
        }
        for limit in (b"abc", b"-1", b"99999999999", b"9" * 400, b"2.00", b" 2", b"1e3", b"0x10"):
            attacks["lobby limit %r" % limit] = lambda limit=limit: self.lists(*lobby, limit + b"\n")
        for field in (b"data3", b"data9", b"", b"\xff", b"date;"):
            attacks["lobby sorted by %r" % field] = lambda field=field: self.lists(*lobby[:9], field + b"\n", b"ASC\n", b"\n")
        for number in range(8):
            filters = [b"\n"] * 8
            filters[number] = b"nobody has this\n"
            attacks["lobby filter %d" % (number + 1)] = lambda f=tuple(filters): self.lists(lobby[0], *f, *lobby[9:], b"\n")
        for name, attack in attacks.items():
            with self.subTest(attack=name):
                attack()
                self.check(host, "game")
        self.master.counters(hosts=1)
        self.assertIsNone(self.master.process.poll())

    def half(self, text):
        """Half a command, then a reset."""
        peer = self.says(text)
        peer.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()

    def lists(self, *request):
        """A request for a list is answered by one."""
        peer = self.peer(self.to, CLIENT)
        peer.tcp.sendall(b"".join(request))
        self.assertEqual(peer.receive(1), b"\xf9")
        json.loads(peer.receive_to(b"\n"))
        peer.close()

    @needs(MANY_IPS, "127.0.0.2 and 127.0.0.3")
    def test_lines_that_never_end(self):
        host = self.host(self.master, "game")
        for line in (b"x", b"\xff", b"reg2\n1.2.4\n" + b"x" * 65536):
            taken, _ = self.until_closed(line * max(1, 65536 // len(line)))
            self.assertLess(taken, 32 << 20)  # what the systems' buffers hold, of 100 MB
            self.check(host, "game")
        self.master.counters(closed_line=3)

    @needs(MANY_IPS, "127.0.0.2 and 127.0.0.3")
    def test_a_byte_at_a_time(self):
        host = self.host(self.master, "game")
        taken, seconds = self.until_closed(b"r", 0.8)
        self.assertLess(taken, 5)
        self.assertLess(seconds, 2 + 1 + child.LIMIT / 10)
        self.assertGreater(seconds, 1.5)
        self.check(host, "game")
        self.master.counters(closed_command=1)

    @needs(MANY_IPS, "127.0.0.2 and 127.0.0.3")
    def test_lists_that_nobody_reads(self):
        host = self.host(self.master, "game", "x" * 900)
        request = b"lobby2\n" + b"\n" * 8 + b"date\n\n\n"
        for _ in range(32):
            peer = self.peer(self.to, self.attacker)
            peer.tcp.settimeout(0.01)
            try:
                for _ in range(200):
                    peer.tcp.sendall(request * 1000)
            except OSError:  # it takes no more, or has closed
                pass
        self.check(host, "game")
        memory = self.master.counters(hosts=1)["memory"]
        self.assertLess(memory, 64 << 20)
        self.master.counters(connections=1)  # all of them are closed in the end
        self.check(host, "game")

    def test_a_host_that_vanishes_without_a_word(self):
        gate, to = self.gate("--host-timeout-ms", "1000")
        start = time.monotonic()
        self.host(gate, "game")  # says nothing any more, and does not close
        removed = gate.entry("host_removed", reason="timeout")
        self.assertEqual(split_address(removed["address"])[0], HOST)
        self.assertLess(time.monotonic() - start, 2 + child.LIMIT / 10)
        client = self.peer(to, CLIENT)
        client.send_udp(b"connect")
        client.send("connect", HOST)
        self.assertEqual(client.receive(1), b"\xfe")
        self.assertEqual(json.loads(client.lobby()), [])

    @needs(MANY_IPS, "127.0.0.2 and 127.0.0.3")
    def test_nothing_is_answered_over_udp(self):
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(udp.close)
        udp.bind((self.attacker, 0))
        for datagram in (b"", b"reg\n\0", b"connect\n\0", b"ping\n\0", b"version\n\0", b"lobby2\n" + b"\n" * 11,
                         b"istesting\n", b"\xfd", b"\xfb", b"\0" * 12 + b"\xfd", b"\0" * 1024):
            udp.sendto(datagram, self.to)
        self.master.counters(udp_received=11)  # all have been read
        self.assertEqual(self.peer(self.to, self.attacker).answer(), VERSION)
        udp.settimeout(0.1)
        with self.assertRaises(socket.timeout):
            udp.recvfrom(1)


@unittest.skipUnless(POSIX, "SKIPPED under emulation: descriptors have no limit there")
class Descriptors(Test):
    @staticmethod
    def limited(soft, hard):
        import resource

        def limit():
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            if os.getuid() == 0:
                os.setuid(NOBODY)  # root may raise the hard limit
        return limit

    def limits_of(self, gate):
        with open("/proc/%d/limits" % gate.process.pid, encoding="ascii") as file:
            return [int(n) for n in re.search(r"Max open files +(\d+) +(\d+)", file.read()).groups()]

    @needs(os.path.exists("/proc/self/limits"), "/proc/self/limits")
    def test_soft_limit_is_raised(self):
        gate, to = self.gate("--max-connections", "100", "--max-waiting-connections=100",
                             preexec_fn=self.limited(64, 1000))
        soft, hard = self.limits_of(gate)
        self.assertGreaterEqual(soft, 100)
        self.assertEqual(hard, 1000)
        self.assertEqual(gate.ready["connections"], 100)
        peers = [self.peer(to) for _ in range(100)]
        self.assertEqual(peers[99].answer(), VERSION)

    def test_fewer_connections_than_wanted(self):
        gate, to = self.gate("--max-connections", "100", "--max-waiting-connections=100",
                             preexec_fn=self.limited(64, 64))
        limits = json.loads(gate.lines[0])
        self.assertEqual((limits["item"], limits["level"]), ("limits", "warning"))
        self.assertEqual((limits["descriptors"], limits["wanted"]), (64, 100))
        allowed = limits["connections"]
        self.assertEqual(gate.ready["connections"], allowed)
        self.assertTrue(16 < allowed < 64)
        peers = [self.peer(to) for _ in range(allowed)]
        self.assertEqual(peers[-1].answer(), VERSION)
        self.assertTrue(self.peer(to).is_closed())
        gate.counters(refused_connections=1, connections=allowed)

    @needs(os.path.exists("/proc/self/limits"), "/proc/self/limits")
    @unittest.skipUnless(POSIX and os.getuid() == 0, "SKIPPED: only root may raise the hard limit")
    def test_hard_limit_is_raised_by_root(self):
        import resource

        def may_raise():
            resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
            resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))
        try:
            subprocess.run(["true"], preexec_fn=may_raise, check=True)
        except subprocess.SubprocessError:
            self.skipTest("SKIPPED: root may not raise the hard limit here")
        gate, _ = self.gate("--max-connections", "100",
                            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)))
        self.assertGreaterEqual(self.limits_of(gate)[0], 100)
        self.assertEqual(gate.ready["connections"], 100)


class Log(Test):
    TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"

    def test_text(self):
        gate = Child(self, GATEPUNCH, "--port", "0", "--bind", "127.0.0.1", "--testing", "--name", "two words",
                     "--log-format=text")
        ready = gate.text_line(self.TIME + " info ready ")
        found = re.search(r" role=master udp=(\S+) tcp=(\S+) .*testing=\"two words\"", ready)
        self.assertEqual(found.group(1), found.group(2))
        client = self.peer(split_address(found.group(1)))
        client.send("connect", "127.0.0.9")
        gate.text_line(self.TIME + r" info not_found client=127\.0\.0\.1:\d+ asked=127\.0\.0\.9$")

    def test_json_with_hostile_strings(self):
        names = ['a"b\\c', "\u202eü☃😀"] if POSIX else ['a"b\\c']
        for name in names + ([b"\xff\xc0\xaf\xed\xa0\x80 cut \xe2\x98"] if POSIX else []):
            with self.subTest(name=name):
                gate, to = self.gate("--testing", "--name", name, "-v")
                self.assertEqual(gate.ready["testing"], name if isinstance(name, str) else
                                 "\ufffd" * 6 + " cut " + "\ufffd" * 2)
                self.host(gate, *HOSTILE)
                client = self.peer(to, CLIENT)
                for text in HOSTILE:
                    client.send("connect", text)
                    client.send(text)
                self.assertEqual(client.receive_to(b"\xfe"), b"\xfe")
                client.send_udp("\n{".join(HOSTILE).encode())
                gate.counters(udp_ignored=1)
                for line in gate.lines:
                    entry = json.loads(line)
                    self.assertRegex(entry["time"], r"\A%s\Z" % self.TIME)
                    self.assertIn(entry["level"], ("error", "warning", "info", "debug"))
                    self.assertTrue(line.isascii() and line.isprintable(), line)
                    for text in HOSTILE:
                        self.assertFalse(text in entry.values(), line)

    def test_levels(self):
        gate, to = self.gate("--max-connections=1", "--log-level", "info")
        self.assertEqual(self.peer(to).answer(), VERSION)
        gate.counters(connections=1)
        self.assertTrue(self.peer(to).is_closed())
        self.assertIn("address", gate.entry("refused"))
        gate.counters(refused_connections=1)

        path = os.path.join(self.directory(), "log")
        gate = Gate(self, GATEPUNCH, "--log-format=json", "--port=0", "--bind=127.0.0.1", "--log-level=warning", "--stats=1",
                    "-l", path)
        entry = gate.entry("stats")  # asked for
        self.assertEqual(entry["connections"], 0)
        self.assertEqual({json.loads(line)["item"] for line in gate.lines} - {"limits"}, {"stats"})

    @needs(POSIX, "way to find the port of a program that says nothing (Wine)")
    def test_warnings_name_no_address(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            to = probe.getsockname()
        notify, arguments = self.notified()
        gate = Gate(self, GATEPUNCH, "--log-format=json", "--port", str(to[1]), "--bind=127.0.0.1", "--log-level=warning",
                    "--max-connections=1", **arguments)
        notify.recv(100)
        self.assertEqual(self.peer(to).answer(), VERSION)
        self.assertTrue(self.peer(to).is_closed())
        self.assertNotIn("127.0.0.1", json.dumps(gate.entry("refused")))

    def notified(self):
        """The socket that hears READY=1, and the arguments for Popen."""
        notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(notify.close)
        notify.settimeout(child.LIMIT)
        path = os.path.join(self.directory(), "notify")
        notify.bind(path)
        return notify, {"env": dict(os.environ, NOTIFY_SOCKET=path)}

    @needs(POSIX, "systemd")
    def test_systemd_is_notified(self):
        notify, arguments = self.notified()
        self.gate(**arguments)
        self.assertEqual(notify.recv(100), b"READY=1")

    @needs(sys.platform == "linux" and POSIX, "abstract names of sockets")
    def test_systemd_is_notified_by_abstract_name(self):
        notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(notify.close)
        notify.settimeout(child.LIMIT)
        notify.bind("")  # the system chooses one
        self.gate(env=dict(os.environ, NOTIFY_SOCKET="@" + notify.getsockname()[1:].decode()))
        self.assertEqual(notify.recv(100), b"READY=1")

    def test_file_as_well(self):
        path = os.path.join(self.directory(), "gate.log")
        gate, to = self.gate("--log", path)
        self.peer(to).send("connect", "127.0.0.9")
        gate.entry("not_found")
        with open(path, encoding="ascii") as file:
            self.assertEqual([json.loads(line)["item"] for line in file if "limits" not in line][:2], ["ready", "not_found"])

    @needs(POSIX, "way to find the port of a program that says nothing (Wine)")
    def test_quiet(self):
        path = os.path.join(self.directory(), "gate.log")
        notify, arguments = self.notified()
        for option in ("-q", "--quiet"):
            gate = Gate(self, GATEPUNCH, "--log-format=json", "--port=0", "--bind=127.0.0.1", "--log", path, option,
                        "--max-connections=1", **arguments)
            notify.recv(100)
            with open(path, encoding="ascii") as file:
                ready = [json.loads(line) for line in file][-1]
            to = split_address(ready["tcp"])
            peer = self.peer(to)
            self.assertEqual(peer.answer(), VERSION)
            self.assertTrue(self.peer(to).is_closed())
            gate.process.send_signal(signal.SIGTERM)
            gate.wait(0)
            self.assertEqual((gate.lines, gate.errors), ([], ""))
            with open(path, encoding="ascii") as file:
                items = [json.loads(line)["item"] for line in file]
            self.assertIn("refused", items)  # a file gets all, as with GATE.PUNCH
            self.assertEqual(items[-1], "stopped")

    def test_a_flood_is_held_back(self):
        gate, to = self.gate("--log-rate", "2", "--hold-ms", "1", "--max-commands-per-second=never")
        client = self.peer(to)
        end = time.monotonic() + child.LIMIT
        while not any('"held_back"' in line for line in gate.lines):
            self.assertLess(time.monotonic(), end)
            client.send(*["connect", "127.0.0.9"] * 5)
            self.assertEqual(client.receive(5), b"\xfe" * 5)
        held = gate.entry("held_back", level="warning")
        self.assertGreaterEqual(held["lines"], 3)
        self.assertGreaterEqual(gate.counters()["lines_missed"], held["lines"])

    @unittest.skipUnless(os.path.exists("/dev/full") and POSIX, "SKIPPED, this system has no /dev/full")
    def test_full_disk(self):
        gate, to = self.gate("--log", "/dev/full", "--hold-ms", "1")
        gate.error_line("/dev/full")
        client = self.peer(to)
        for _ in range(3):
            client.send("connect", "127.0.0.9")
            gate.entry("not_found")
        self.assertGreaterEqual(gate.counters()["lines_missed"], 4)
        self.stop(gate)
        self.assertEqual(gate.errors.count("\n"), 1)

    def piped(self, *arguments):
        """A running gatepunch, its address and the end of the pipe that it writes to."""
        read_end, write_end = os.pipe()
        gate = Gate(self, GATEPUNCH, "--log-format=json", "--port=0", "--bind=127.0.0.1", *arguments, stdout=write_end)
        os.close(write_end)
        text = b""
        while b'"ready"' not in text or not text.endswith(b"\n"):
            text += os.read(read_end, 4096)
        return gate, split_address(json.loads(text.splitlines()[-1])["tcp"]), read_end

    @needs(POSIX, "POSIX pipes")
    def test_reader_that_goes_away(self):
        gate, to, pipe = self.piped("--hold-ms=1")
        os.close(pipe)
        client = self.peer(to)
        for _ in range(3):
            client.send("connect", "127.0.0.9")
            self.assertEqual(client.receive(1), b"\xfe")
        self.assertEqual(client.answer(), VERSION)
        gate.error_line("stdout")
        gate.process.send_signal(signal.SIGTERM)
        gate.wait(0)
        self.assertEqual(gate.errors.count("\n"), 1)

    @needs(POSIX, "POSIX pipes")
    def test_reader_that_stalls(self):
        gate, to, pipe = self.piped("--hold-ms=1", "--log-rate=never", "--max-commands-per-second=never")
        self.addCleanup(os.close, pipe)
        client = self.peer(to)
        for _ in range(100):  # lines of more bytes than a pipe holds
            client.send(*["connect", "127.0.0.9"] * 10)
            self.assertEqual(client.receive(10), b"\xfe" * 10)
        gate.error_line("stdout")
        self.assertEqual(client.answer(), VERSION)
        gate.process.send_signal(signal.SIGTERM)
        gate.wait(0)


@unittest.skipUnless(POSIX, "SKIPPED under emulation: no POSIX signals there")
class Signals(Test):
    def test_stop(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            gate, to = self.gate()
            self.assertEqual(self.peer(to).answer(), VERSION)
            last = self.stop(gate, number)
            self.assertEqual((last["item"], last["accepted"]), ("stopped", 1))
            self.assertEqual(gate.errors, "")

    def test_hangup_reopens_the_log(self):
        path = os.path.join(self.directory(), "gate.log")
        gate, to = self.gate("--log", path)
        os.rename(path, path + ".1")
        gate.process.send_signal(signal.SIGHUP)
        gate.entry("log_reopened")
        self.peer(to).send("connect", "127.0.0.9")
        gate.entry("not_found")
        self.stop(gate)

        def items(name):
            with open(name, encoding="ascii") as file:
                return [json.loads(line)["item"] for line in file]
        self.assertEqual(items(path + ".1")[-1], "ready")
        self.assertEqual(items(path), ["log_reopened", "not_found", "stopped"])

    def test_hangup_that_fails_keeps_the_log(self):
        directory = self.directory()
        path = os.path.join(directory, "gate.log")
        gate, to = self.gate("--log", path)
        os.rename(path, path + ".1")
        os.mkdir(path)
        gate.process.send_signal(signal.SIGHUP)
        gate.error_line("cannot open " + path)
        self.peer(to).send("connect", "127.0.0.9")
        gate.entry("not_found")
        self.stop(gate)
        with open(path + ".1", encoding="ascii") as file:
            self.assertIn('"stopped"', file.read())

    def test_hangup_without_a_file(self):
        gate, to = self.gate()
        gate.process.send_signal(signal.SIGHUP)
        self.assertEqual(self.peer(to).answer(), VERSION)
        self.assertEqual(self.stop(gate)["item"], "stopped")

    def test_counters(self):
        gate, to = self.gate()
        self.host(gate)
        client = self.peer(to, CLIENT)
        client.send("connect", HOST)  # waits for its UDP
        counted = gate.counters(hosts=1, waiting=1)
        self.assertEqual(counted["connections"], 2)
        self.assertGreater(counted["memory"], 0)
        self.assertGreater(counted["tcp_bytes_in"], 0)
        client.send_udp(b"connect")
        self.assertEqual(client.introduction()[0], HOST)
        counted = gate.counters(waiting=0, introductions=1)
        self.assertGreater(counted["tcp_bytes_out"], 0)
        self.assertGreater(counted["udp_bytes_in"], 0)
        self.assertLess(counted["uptime"], child.LIMIT * 10)


class Stats(Test):
    def test_every_second(self):
        gate, _ = self.gate("--stats=1")
        self.assertLess(gate.entry("stats")["uptime"], gate.entry("stats")["uptime"])


class Usage(Test):
    def run_gate(self, *arguments, **more):
        return Child(self, GATEPUNCH, *arguments, **more)

    def test_wrong_usage(self):
        cases = [("--wrong", ["--wrong"]), ("--por", ["--por", "1"]), ("extra", ["extra"]), ("-x", ["-x"]), ("", [""]),
                 ("--port", ["--port"]), ("--port", ["-p"]), ("--port", ["--port", "--quiet"]), ("--quiet", ["--quiet=1"]),
                 ("--bind", ["--bind", "somewhere"]), ("--bind", ["--bind", "127.0.0.1,"]), ("--bind", ["--bind="]),
                 ("--bind", ["--bind", "127.0.0.1:6510"]), ("--bind", ["--bind", "x" * 1000]),
                 ("--bind", ["--bind", ",".join(["127.0.0.1"] * 9)]),
                 ("--bind", [w for _ in range(9) for w in ("--bind", "127.0.0.1")]),
                 ("--name", ["--name", "two\nlines"]), ("--name", ["--name", "x" * 256]), ("--log", ["--log="]),
                 ("--log-level", ["--log-level", "loud"]), ("--log-level", ["--log-level="]),
                 ("--log-format", ["--log-format", "xml"]), ("--log-rate", ["--log-rate", "0"]),
                 ("--stats", ["--stats", "0"]),
                 ("--max-connections", ["--max-connections", "0"]), ("--max-connections", ["--max-connections", "4194305"]),
                 ("--max-connections", ["--max-connections", "never"]), ("--max-line", ["--max-line", "63"]),
                 ("--max-line", ["--max-line", "65537"]), ("--max-lobby", ["--max-lobby", "4095"]),
                 ("--max-data", ["--max-data", "4294967296"]), ("--hold-ms", ["--hold-ms", "0"]),
                 ("--hold-ms", ["--hold-ms", "4294967295"]), ("--introduction-gap-ms", ["--introduction-gap-ms", "-1"])]
        cases += [("--port", ["--port=" + n]) for n in ("-1", "65536", "+1", " 1", "0x10", "1e3", "", "9" * 20)]
        for option, arguments in cases:
            with self.subTest(arguments=arguments):
                gate = self.run_gate(*arguments)
                gate.wait(2)
                self.assertEqual(gate.lines, [])
                self.assertTrue(gate.errors.startswith("gatepunch: " + option), gate.errors)
                self.assertIn("--help", gate.errors)

    def test_help_and_version(self):
        for arguments in (["--help"], ["-h"], ["--port", "1", "-h"]):
            gate = self.run_gate(*arguments)
            gate.wait(0)
            self.assertTrue(gate.lines[0].startswith("usage: gatepunch"))
            self.assertEqual(gate.errors, "")
            self.assertLessEqual(max(map(len, gate.lines)), 125)
        gate = self.run_gate("--version")
        gate.wait(0)
        self.assertRegex("\n".join(gate.lines), r"\Agatepunch \d+\.\d+\.\d+ \(protocol 1\.2\.5\)\Z")

    def test_every_option_is_in_help(self):
        gate = self.run_gate("--help")
        gate.wait(0)
        text = "\n".join(gate.lines)
        for option in ("-p, --port", "-h, --help", "--version", "--disable-lobby", "--name", "--testing", "-q, --quiet",
                       "-v, --verbose", "-l, --log", "--bind", "--log-level", "--log-format", "--log-rate", "--stats"):
            self.assertIn("  " + option, text)

    def check_failure(self, code, message, *arguments, **more):
        gate = self.run_gate("--log-level=error", *arguments, **more)
        gate.wait(code)
        self.assertEqual(gate.lines, [])
        self.assertRegex(gate.errors, message)

    def test_port_in_use(self):
        tcp = socket.socket()
        self.addCleanup(tcp.close)
        tcp.bind(("127.0.0.1", 0))
        tcp.listen()
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(udp.close)
        udp.bind(("127.0.0.1", 0))
        for taken in (tcp, udp):
            port = taken.getsockname()[1]
            self.check_failure(3, r"\Agatepunch: cannot serve on 127\.0\.0\.1 port %d: .+ \(os error \d+\)\n.*--port" % port,
                               "--bind", "127.0.0.1", "--port", str(port))

    def test_not_permitted(self):
        if not POSIX:
            self.skipTest("SKIPPED under emulation: all ports are free to all there")
        try:
            with open("/proc/sys/net/ipv4/ip_unprivileged_port_start", encoding="ascii") as file:
                start = int(file.read())
        except OSError:
            start = 1024
        if start < 2:
            self.skipTest("SKIPPED: all ports are free to all on this system")
        more = {"user": NOBODY} if os.getuid() == 0 else {}
        try:
            self.check_failure(4, r"\Agatepunch: cannot serve on 127\.0\.0\.1 port 1: ", "--bind=127.0.0.1", "--port=1",
                               **more)
        except PermissionError as error:
            self.skipTest("SKIPPED: the program can't be run by another user: %s" % error)

    def test_address_of_another_machine(self):
        self.check_failure(5, r"\Agatepunch: cannot serve on 127\.0\.0\.1,192\.0\.2\.1 port 0: ", "--port", "0", "--bind",
                           "127.0.0.1,192.0.2.1")

    def test_log_that_cannot_be_opened(self):
        path = os.path.join(self.directory(), "no", "such", "directory")
        self.check_failure(6, r"\Agatepunch: cannot open .*directory: ", "--port", "0", "--log", path)


if __name__ == "__main__":
    given = child.main("PATH_OF_GATEPUNCH")
    GATEPUNCH = child.executable(given)
    if not GATEPUNCH:
        sys.exit("no such program: " + given)
    child.keep_emulator(GATEPUNCH, "--bind", "127.0.0.1", "--port", "0")
    if not MANY_IPS:
        print("Without 127.0.0.2 and 127.0.0.3: all use 127.0.0.1.", file=sys.stderr)
    unittest.main()
