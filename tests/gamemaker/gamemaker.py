"""The GameMaker extension as GameMaker sees it: the library that is loaded, its functions called with nothing but numbers and
strings as gmpunch.yy says, and sockets that treat GameMaker's header as network_send_udp and the networking event do."""
import ctypes
import json
import os
import re
import select
import socket
import struct

PROJECT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "examples", "gamemaker")
HEADER = struct.Struct("<III")
MAGIC = 0xDEADC0DE


def read_yy(path):
    """GameMaker's JSON has commas behind the last items."""
    with open(os.path.join(PROJECT, path), encoding="utf-8") as file:
        text = file.read()
    strings = []
    text = re.sub(r'"(?:[^"\\]|\\.)*"', lambda m: strings.append(m.group()) or '"%d"' % (len(strings) - 1), text)
    text = re.sub(r",(\s*[}\]])", r"\1", text)
    return json.loads(re.sub(r'"(\d+)"', lambda m: strings[int(m.group(1))], text))


class Extension:
    """Functions and constants of the extension as attributes, by their names in GameMaker without gmpunch_ or GMPUNCH_."""

    def __init__(self, library):
        loaded = ctypes.CDLL(library)
        file = read_yy("extensions/gmpunch/gmpunch.yy")["files"][0]
        kinds = {1: ctypes.c_char_p, 2: ctypes.c_double}
        self.functions = {}
        for function in file["functions"]:
            native = getattr(loaded, function["externalName"])
            native.argtypes = [kinds[argument] for argument in function["args"]]
            native.restype = kinds[function["returnType"]]
            self.functions[function["name"]] = (function["args"], function["returnType"])
            setattr(self, function["name"][len("gmpunch_"):], self._call(native, function["returnType"] == 1))
        for constant in file["constants"]:
            setattr(self, constant["name"][len("GMPUNCH_"):], int(constant["value"]))

    @staticmethod
    def _call(native, result_is_text):
        def call(*arguments):
            assert len(arguments) == len(native.argtypes), "GameMaker would refuse the number of arguments"
            result = native(*(a.encode() if isinstance(a, str) else a for a in arguments))
            return result.decode() if result_is_text else result
        return call

    def config(self, kind, **settings):
        config = self.config_create(kind)
        assert config > 0, config
        for key, value in settings.items():
            set_one = self.config_set_text if isinstance(value, str) else self.config_set
            assert set_one(config, key, value) == 1, (key, value)
        return config

    def start(self, kind, own=False, **settings):
        config = self.config(kind, **settings)
        opened = (self.create if own else self.open)(config)
        self.close(config)
        return opened

    def data(self, size, copy):
        memory = ctypes.create_string_buffer(max(1, int(size)))
        assert copy(memory, float(size)) == 1
        return memory.raw[:int(size)]


class Sockets:
    """What a game in GameMaker does for an object that was created (not opened), written anew: gmpunch_io does it in GML."""

    def __init__(self, gm, object_id, raw_socket=False):
        self.gm, self.object, self.raw_socket = gm, object_id, raw_socket
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", 0))
        self.udp.setblocking(False)
        self.tcp, self.connection, self.opening = None, 0, False
        self.sent = []      # datagrams as they are on the wire
        self.received = []  # likewise
        self.packets = []   # of the game: (peer, bytes)
        self.strangers = []
        self.perform()

    def close(self):
        self.drop()
        self.udp.close()
        self.gm.close(self.object)

    def drop(self):
        if self.tcp:
            self.tcp.close()
        self.tcp = None

    def perform(self):
        gm, o = self.gm, self.object
        while True:
            kind = gm.transmit(o)
            if kind == 0:
                return
            assert kind > 0, kind
            data = gm.data(gm.transmit_size(o), lambda memory, size: gm.transmit_memory(o, memory, size))
            to = (gm.transmit_ip(o), int(gm.transmit_port(o)))
            if kind == gm.TRANSMIT_UDP:
                assert gm.transmit_socket(o) == 0
                assert not data.startswith(HEADER.pack(MAGIC, HEADER.size, 0)[:8])  # GameMaker adds it
                if gm.transmit_header(o) == 1:  # network_send_udp
                    data = HEADER.pack(MAGIC, HEADER.size, len(data)) + data
                self.sent.append(data)
                self.udp.sendto(data, to)
            elif kind == gm.TRANSMIT_TCP_OPEN:
                self.drop()
                self.tcp = socket.socket()
                self.tcp.setblocking(False)
                self.connection = gm.transmit_connection(o)
                self.opening = True
                self.tcp.connect_ex(to)
            elif kind == gm.TRANSMIT_TCP_SEND:
                taken = self.tcp.send(data[:5])  # never all: the rest has to come again
                if taken < len(data):
                    assert gm.tcp_sent(o, self.connection, taken) == 1
                    gm.tcp_writable(o, self.connection)
            else:
                assert kind == gm.TRANSMIT_TCP_CLOSE
                self.drop()

    def step(self):
        """One step of the game: networking events, then the step event."""
        gm, o = self.gm, self.object
        if self.tcp:
            readable, writable, _ = select.select([self.tcp], [self.tcp] if self.opening else [], [], 0)
            if self.opening and (readable or writable):
                self.opening = False
                error = self.tcp.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                result = gm.tcp_closed(o, self.connection, error) if error else gm.tcp_opened(o, self.connection)
                assert result == 1, result
                if error:
                    self.drop()
                self.perform()
            elif readable:
                data = self.tcp.recv(65536)
                if data:
                    assert gm.tcp_memory(o, data, len(data)) == 1
                else:
                    self.drop()
                    assert gm.tcp_closed(o, self.connection, 0) == 1
                self.perform()
        while True:
            try:
                data, (ip, port) = self.udp.recvfrom(65536)
            except (BlockingIOError, ConnectionError):
                break
            self.received.append(data)
            if not self.raw_socket and len(data) >= HEADER.size and HEADER.unpack_from(data)[:2] == (MAGIC, HEADER.size):
                data = data[HEADER.size:]
            assert gm.input_from(o, ip, port) == 1
            result = gm.input_memory(o, data, len(data))
            assert result in (gm.INPUT_PROTOCOL, gm.INPUT_GAME, gm.INPUT_OTHER), result
            if result == gm.INPUT_GAME:
                self.packets.append((gm.input_peer(o), data[int(gm.input_offset(o)):]))
            elif result == gm.INPUT_OTHER:
                self.strangers.append(data)
            self.perform()
        assert gm.tick(o) == 1
        self.perform()
