"""What examples/python/gmpunch.py promises beyond the demo: errors, closed objects, checked values, logs, texts."""
import gc
import os
import pathlib
import select
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "examples" / "python"))
import gmpunch  # noqa: E402
from gmpunch import (  # noqa: E402
    Client, ClientConfig, Error, EventType, Host, HostConfig, Lobby, LobbyConfig, Master, MasterConfig)

IP = "127.0.0.1"


class Binding(unittest.TestCase):
    def fails(self, result, call, *arguments):
        with self.assertRaises(Error) as caught:
            call(*arguments)
        self.assertEqual(caught.exception.result, result)
        return caught.exception

    def direct_pair(self, log=None, **fields):
        """A connected host and client, without a master."""
        config = HostConfig(bind_address=IP, log=log, **fields)
        host = Host(config)
        self.addCleanup(host.close)
        config.log = None  # the host keeps its own
        client = Client(ClientConfig(server=IP, direct_only=True, direct_port=host.local_address.port, ask_data=True))
        self.addCleanup(client.close)
        events = self.events_until(host, client, EventType.HOST_DATA)
        return host, client, events

    def events_until(self, host, client, last):
        events, end = [], time.monotonic() + 15
        while not any(event.type == last for event in events):
            self.assertLess(time.monotonic(), end, events)
            events += [*host.events(1), *client.events(1)]
        return events

    def test_fields_are_checked(self):
        self.assertRaises(AttributeError, lambda: ClientConfig(servr=IP))
        self.assertRaises(TypeError, lambda: ClientConfig(server=5))
        self.assertRaises(ValueError, lambda: ClientConfig(server="a\0b"))
        self.assertRaises(OverflowError, lambda: ClientConfig(bind_port=70000))
        self.assertRaises(OverflowError, lambda: ClientConfig(timeout_ms=-1))
        self.assertRaises(IndexError, lambda: HostConfig(data=["x"] * 9))
        self.fails(gmpunch.Result.CONFIG, Client, ClientConfig())

    def test_error_of_the_system(self):
        with Host(HostConfig(bind_address=IP)) as host:
            error = self.fails(gmpunch.Result.ADDRESS_IN_USE, Host,
                               HostConfig(bind_address=IP, bind_port=host.local_address.port))
        self.assertNotEqual(error.os_error, 0)
        self.assertIn(os.strerror(error.os_error), str(error))

    def test_closed(self):
        for opened in (Host(HostConfig(bind_address=IP)), Master(MasterConfig(bind_address=IP, any_port=True)),
                       Lobby(LobbyConfig(master=IP)), Client(ClientConfig(server=IP, master=IP))):
            opened.close()
            opened.close()
            self.fails(gmpunch.Result.ARGUMENT, opened.poll)
            self.fails(gmpunch.Result.ARGUMENT, opened.stats)
            self.assertEqual(list(opened.events()), [])

    def test_peers_data_and_log(self):
        logged = []
        host, client, events = self.direct_pair(log=lambda *entry: logged.append(entry), data=["größe", None, "3"])
        gc.collect()
        joined = next(event for event in events if event.type == EventType.JOINED)
        self.assertEqual([event.strings for event in events if event.type == EventType.HOST_DATA],
                         [("größe", "", "3", "", "", "", "", "")])
        self.assertEqual(host.peers(), [joined.peer])
        peer = host.peer(joined.peer)
        self.assertEqual((peer.id, peer.address, peer.how), (joined.peer, joined.address, gmpunch.How.DIRECT))
        self.assertEqual(host.find_peer(peer.address), joined.peer)
        self.assertEqual((client.stage, client.server), (gmpunch.Stage.CONNECTED, host.local_address))
        self.assertEqual((host.stats().peers, client.stats().welcomes_heard > 0), (1, True))
        self.fails(gmpunch.Result.PEER, host.peer, 12345)
        self.fails(gmpunch.Result.RESERVED, client.send, b"\xfd")
        client.send(b"a\0b")
        received = self.events_until(host, client, EventType.DATA)[-1]
        self.assertEqual((received.data, received.peer), (b"a\0b", joined.peer))
        self.assertEqual(host.send_all(b"all"), 1)
        self.assertEqual(self.events_until(host, client, EventType.DATA)[-1].data, b"all")
        host.kick(joined.peer)
        left = self.events_until(host, client, EventType.LEFT)[-1]
        self.assertEqual((left.reason, left.reason.text), (gmpunch.Reason.KICKED, "The peer was removed by the host."))
        self.assertIn(gmpunch.LogItem.PEER, [item for _level, item, _text in logged])

    def test_set_data(self):
        with Host(HostConfig(bind_address=IP)) as host:
            host.set_data(8, "new")
            host.set_data(8, None)
            host.commit_data()
            self.fails(gmpunch.Result.ARGUMENT, host.set_data, 9, "x")

    def test_waiting(self):
        host, client, _ = self.direct_pair()
        waits = host.waits()
        self.assertEqual(waits, [(host.fileno(), gmpunch.Wait.READ)])
        client.send(b"news")
        self.assertTrue(select.select([socket for socket, _ in waits], [], [], 5)[0])
        self.assertLess(host.next_deadline_ms(), gmpunch.NEVER)

    def test_a_long_wait_ends(self):
        with Host(HostConfig(bind_address=IP)) as host:
            start = time.monotonic()
            self.assertIsNone(host.poll(250))
            self.assertGreater(time.monotonic() - start, 0.2)

    def test_addresses(self):
        self.assertEqual(gmpunch.Address.parse("[2001:DB8:0::1]:7"), ("2001:db8::1", 7))
        self.assertEqual(str(gmpunch.Address("2001:db8::1", 7)), "[2001:db8::1]:7")
        self.assertEqual(gmpunch.Address.parse("1.2.3.4", 5), ("1.2.3.4", 5))
        self.fails(gmpunch.Result.ADDRESS, gmpunch.Address.parse, "x")

    def test_unknown_values_of_a_newer_library(self):
        self.assertEqual((EventType(77).name, EventType(77)), ("UNKNOWN", 77))


if __name__ == "__main__":
    unittest.main()
