"""The small examples as their reader runs them: with each other and with punch, as separate processes over loopback.

usage: test_examples.py DIR_OF_EXAMPLES [EMULATOR ...]
"""
import os
import re
import sys
import unittest

sys.dont_write_bytecode = True
import child  # noqa: E402
from child import Child, can_bind, closed_port  # noqa: E402

DIRECTORY = None
EMULATED = child.emulated()
HOST = "127.0.0.2" if can_bind("127.0.0.2") and not EMULATED else "127.0.0.1"
LIFE = "300"  # seconds; should a program be forgotten, it ends


class Test(unittest.TestCase):
    def run_example(self, name, *arguments, **more):
        path = child.executable(os.path.join(DIRECTORY, name))
        if not path:
            self.fail("%s is not in %s" % (name, DIRECTORY))
        return Child(self, path, *arguments, **more)

    def start_master(self):
        """A running master and its address for the others."""
        master = self.run_example("punch", "master", "--bind", "127.0.0.1", "--port", "0", "--seconds", LIFE)
        return master, master.line("ready")["udp"]

    # The hosts, each running and registered: the program, the IP for SERVER, and what it prints for a new client.

    def start_punch_host(self, master, address):
        host = self.run_example("punch", "host", "--master", address, "--bind", HOST, "--seconds", LIFE)
        master.line("host-added")
        return host, HOST, "joined peer="

    def start_small_host(self, master, address):
        host = self.run_example("small_host", address, LIFE)
        host.text_line("registered with " + re.escape(address))
        master.line("host-added")
        return host, "127.0.0.1", r"127\.0\.0\.1:\d+ joined"

    def start_own_loop_host(self, master, address):
        host = self.run_example("own_loop", "host", address, LIFE)
        host.text_line("registered " + re.escape(address))
        master.line("host-added")
        return host, "127.0.0.1", r"joined 127\.0\.0\.1:"

    # The clients, each until it has its answer.

    def check_punch_client(self, address, server):
        client = self.run_example("punch", "client", "--master", address, "--server", server, "--send", "hello")
        client.line("connected", how="punched")
        self.assertEqual(client.line("data")["text"], "hello")
        client.wait(0)

    def check_raw_punch_client(self, address, server):
        client = self.run_example("punch", "client", "--master", address, "--server", server, "--raw", "--send", "bare")
        client.line("connected", how="punched")
        self.assertEqual(client.line("data")["text"], "bare")
        client.wait(0)

    def check_small_client(self, address, server):
        client = self.run_example("small_client", address, server)
        client.wait(0)
        self.assertEqual(client.lines, ["hello"])

    def check_own_loop_client(self, address, server):
        client = self.run_example("own_loop", "client", address, server)
        client.text_line("connected ")
        client.text_line("answer hello")
        client.wait(0)


class Mixes(Test):
    def check(self, start_host):
        master, address = self.start_master()
        host, server, joins = start_host(master, address)
        for check_client in (self.check_punch_client, self.check_raw_punch_client, self.check_small_client,
                             self.check_own_loop_client):
            with self.subTest(check_client.__name__):
                check_client(address, server)
                host.text_line(joins)

    def test_punch_host_with_every_client(self):
        self.check(self.start_punch_host)

    def test_small_host_with_every_client(self):
        self.check(self.start_small_host)

    def test_own_loop_host_with_every_client(self):
        self.check(self.start_own_loop_host)


class Failures(Test):
    def test_wrong_usage(self):
        for name, *arguments in (["small_host"], ["small_host", "127.0.0.1", "0"], ["small_host", "a", "1", "2"],
                                 ["small_client"], ["small_client", "127.0.0.1"], ["own_loop"],
                                 ["own_loop", "client", "127.0.0.1"], ["own_loop", "host"], ["own_loop", "x", "y", "z"]):
            with self.subTest(name=name, arguments=arguments):
                program = self.run_example(name, *arguments)
                program.wait(2)
                self.assertTrue(program.errors.startswith("usage: " + name))
                self.assertEqual(program.lines, [])

    def test_address_that_is_none(self):
        for name, *arguments in (["small_host", "1.2.3.4:0"], ["small_client", "1.2.3.4:0", "127.0.0.1"],
                                 ["small_client", "127.0.0.1", "1.2.3.4:5"], ["own_loop", "host", "1.2.3.4:0"],
                                 ["own_loop", "client", "1.2.3.4", "no.address"]):
            with self.subTest(name=name, arguments=arguments):
                program = self.run_example(name, *arguments)
                program.wait(1)
                self.assertTrue(program.errors.startswith(name + ": "))

    def test_master_down(self):
        dead = "127.0.0.1:%d" % closed_port(self)
        client = self.run_example("small_client", dead, "127.0.0.1")
        client.wait(1)
        self.assertTrue(client.errors.startswith("small_client: "))
        self.assertEqual(client.lines, [])
        client = self.run_example("own_loop", "client", dead, "127.0.0.1")
        client.text_line("failed ")
        client.wait(1)
        self.run_example("small_host", dead, LIFE).text_line("no master: ")
        self.run_example("own_loop", "host", dead, LIFE).text_line("unregistered ")

    def test_not_found(self):
        _, address = self.start_master()
        self.run_example("small_client", address, "127.0.0.9").wait(1)
        self.run_example("own_loop", "client", address, "127.0.0.9").wait(1)

    def test_seconds(self):
        master, address = self.start_master()
        self.run_example("small_host", address, "1").wait(0)
        master.line("host-removed", reason="closed")
        self.run_example("own_loop", "host", address, "1").wait(0)
        master.line("host-removed", reason="closed")

    def test_own_loop_host_returns_to_a_master_that_restarts(self):
        if EMULATED:
            self.skipTest("SKIPPED under emulation: the port of a killed program may stay taken there")
        master, address = self.start_master()
        host, server, _ = self.start_own_loop_host(master, address)
        master.end()
        host.text_line("unregistered ")
        port = address.split(":")[1]
        master = self.run_example("punch", "master", "--bind", "127.0.0.1", "--port", port, "--seconds", LIFE)
        host.text_line("registered ")
        master.line("host-added")
        self.check_own_loop_client(address, server)


class Chat(Test):
    def test_chat(self):
        master, address = self.start_master()
        host = self.run_example("chat", "host", address, "ann", stdin=True)
        host.text_line(r"\* .*registered")
        master.line("host-added")
        bob = self.run_example("chat", "join", address, "127.0.0.1", "bob", stdin=True)
        bob.text_line(r"\* .*connected")
        host.text_line(r"\* .*joined")
        cid = self.run_example("chat", "join", address, "127.0.0.1", "cid", stdin=True)
        cid.text_line(r"\* .*connected")
        host.text_line(r"\* .*joined")
        bob.write("hello from bob\n")
        host.text_line("bob: hello from bob")
        cid.text_line("bob: hello from bob")
        host.write("hello from ann\n")
        bob.text_line("ann: hello from ann")
        cid.text_line("ann: hello from ann")
        for program in (bob, cid, host):
            program.process.stdin.close()
        for program in (bob, cid, host):
            program.wait(0)

    def test_failures(self):
        self.run_example("chat").wait(2)
        self.run_example("chat", "join", "127.0.0.1:%d" % closed_port(self), "127.0.0.1", "bob").wait(1)


if __name__ == "__main__":
    DIRECTORY = child.main("DIR_OF_EXAMPLES")
    punch = child.executable(os.path.join(DIRECTORY, "punch"))
    if not punch:
        sys.exit("no punch in " + DIRECTORY)
    child.keep_emulator(punch)
    unittest.main()
