"""Runs the programs under test and reads what they print, line by line and without sleeping."""
import atexit
import os
import re
import socket
import struct
import subprocess
import sys
import threading
import time
import unittest

EMULATOR = []  # what runs the programs (wine), with its arguments
LIMIT = 20  # seconds until something that should happen counts as not happening


def main(parameter):
    """unittest.main for `test_x.py PATH [EMULATOR ...]`; returns PATH. Further unittest options come before PATH."""
    arguments = [a for a in sys.argv[1:] if not a.startswith("-")]
    options = [a for a in sys.argv[1:] if a.startswith("-")]
    if not arguments:
        sys.exit("usage: %s %s [EMULATOR]" % (sys.argv[0], parameter))
    global LIMIT
    EMULATOR[:] = arguments[1:]
    if EMULATOR:
        LIMIT = 60
    sys.argv[1:] = options or ["-v"]
    return arguments[0]


def emulated():
    """Whether the programs run under Wine, or the tests on Windows. Known before main()."""
    return len([a for a in sys.argv[1:] if not a.startswith("-")]) > 1 or os.name == "nt"


def executable(path):
    for candidate in (path, path + ".exe"):
        if os.path.isfile(candidate):
            return os.path.abspath(candidate)
    return None


def keep_emulator(program, *arguments):
    """One program (punch as a master, unless told otherwise) runs all the time, so that Wine's server starts but once, and
    with no pipe of a Child: it would keep it open, and the end of that Child's output would not be seen."""
    if EMULATOR:
        arguments = arguments or ("master", "--bind", "127.0.0.1", "--port", "0", "--seconds", "3600")
        keeper = subprocess.Popen([*EMULATOR, program, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.DEVNULL)
        atexit.register(keeper.kill)
        keeper.stdout.readline()  # it is ready


def datagram(payload):
    """With GameMaker's header."""
    return struct.pack("<III", 0xDEADC0DE, 12, len(payload)) + payload


def can_bind(ip):
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as s:
            s.bind((ip, 0))
        return True
    except OSError:
        return False


def closed_port(test, ip="127.0.0.1"):
    """A port where nothing listens and nothing will: it is bound for both TCP and UDP until the test ends."""
    while True:
        tcp = socket.socket()
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        tcp.bind((ip, 0))
        try:
            udp.bind((ip, tcp.getsockname()[1]))
        except OSError:
            tcp.close()
            udp.close()
            continue
        test.addCleanup(tcp.close)
        test.addCleanup(udp.close)
        return tcp.getsockname()[1]


class Line:
    """`event key=value key="several words" text=all the rest`"""

    def __init__(self, text):
        self.text = text
        self.event, _, rest = text.partition(" ")
        self.fields = {}
        while rest:
            if rest.startswith("text="):
                self.fields["text"] = rest[5:]
                break
            match = re.match(r'([a-z]+)=("[^"]*"|\S*)( |$)', rest)
            if not match:
                raise AssertionError("not key=value: %r" % text)
            self.fields[match.group(1)] = match.group(2).strip('"')
            rest = rest[match.end():]

    def __getitem__(self, key):
        if key not in self.fields:
            raise AssertionError("no %s= in %r" % (key, self.text))
        return self.fields[key]


class Child:
    """A program that runs. Each line that it prints is handed out once, by line() or seen()."""

    def __init__(self, test, path, *arguments, stdin=False, stdout=subprocess.PIPE, **more):  # more: for Popen
        self.name = os.path.basename(path)
        self.arguments = arguments
        self.process = subprocess.Popen([*EMULATOR, path, *arguments], stdout=stdout, stderr=subprocess.PIPE,
                                        stdin=subprocess.PIPE if stdin else subprocess.DEVNULL, **more)
        self.news = threading.Condition()
        self.lines = []  # of stdout, decoded
        self.taken = 0
        self.errors = ""
        self.readers = [threading.Thread(target=self._read_errors, daemon=True)]
        if stdout == subprocess.PIPE:
            self.readers.append(threading.Thread(target=self._read_lines, daemon=True))
        for reader in self.readers:
            reader.start()
        test.addCleanup(self.end)

    def _read_lines(self):
        for line in self.process.stdout:  # bytes: ends only at LF, so that a stray CR would be seen
            with self.news:
                end = -2 if line.endswith(b"\r\n") else -1 if line.endswith(b"\n") else None
                self.lines.append(line[:end].decode("utf-8", "surrogateescape"))
                self.news.notify_all()

    def _read_errors(self):
        for line in self.process.stderr:
            with self.news:
                self.errors += line.decode("utf-8", "surrogateescape").replace("\r", "")
                self.news.notify_all()

    def _fail(self, what):
        raise AssertionError("%s\n--- %s %s printed:\n%s\n--- and to stderr:\n%s" % (
            what, self.name, " ".join(map(str, self.arguments)), "\n".join(self.lines), self.errors))

    def _over(self):
        return self.process.poll() is not None and not any(reader.is_alive() for reader in self.readers)

    def _wait_for(self, look, what):
        end = time.monotonic() + LIMIT
        with self.news:
            while True:
                over = self._over()
                result = look()
                if result is not None:
                    return result
                if over:
                    self._fail("%s ended with %s before %s" % (self.name, self.process.returncode, what))
                if time.monotonic() > end:
                    self._fail("waited %d s for %s" % (LIMIT, what))
                self.news.wait(0.05)  # the end of a program wakes nobody

    def text_line(self, pattern):
        """The next line that begins so (a regular expression); those before it are passed over."""
        def look():
            while self.taken < len(self.lines):
                self.taken += 1
                if re.match(pattern, self.lines[self.taken - 1]):
                    return self.lines[self.taken - 1]
            return None
        return self._wait_for(look, "a line like %r" % pattern)

    def line(self, event, **fields):
        """The next line of this event whose fields have these values."""
        def look():
            while self.taken < len(self.lines):
                self.taken += 1
                line = Line(self.lines[self.taken - 1])
                if line.event == event and all(line.fields.get(k) == v for k, v in fields.items()):
                    return line
            return None
        return self._wait_for(look, "%s %s" % (event, fields or ""))

    def error_line(self, part):
        return self._wait_for(lambda: True if part in self.errors else None, "%r on stderr" % part)

    def write(self, text):
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def wait(self, expected=None):
        """The exit code; if one is expected, it must be that."""
        try:
            code = self.process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            self._fail("%s does not end" % self.name)
        for reader in self.readers:
            reader.join(LIMIT)
        if expected is not None and code != expected:
            self._fail("exit code %s, expected %s" % (code, expected))
        return code

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for reader in self.readers:
            reader.join(LIMIT)
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe:
                try:
                    pipe.close()
                except OSError:
                    pass  # an unwritten rest of stdin


def needs(condition, what):
    return unittest.skipUnless(condition, "SKIPPED, this system has no " + what)
