"""Ctrl-C in a terminal ends the programs that serve, in order and with exit code 0; also those for Windows, under Wine.

usage: test_console.py DIRECTORY_OF_EXAMPLES [EMULATOR ...]
"""
import os
import re
import select
import sys
import time
import unittest

sys.dont_write_bytecode = True
try:
    import pty
except ImportError:
    print("SKIPPED, this system has no pseudo-terminals")
    sys.exit(77)
import child  # noqa: E402

EXAMPLES = None


class Terminal:
    """A program in a terminal of its own."""

    def __init__(self, test, *arguments):
        self.text = ""
        self.code = None
        self.process, self.screen = pty.fork()
        if self.process == 0:
            command = [*child.EMULATOR, *arguments]
            os.execvp(command[0], command)
        test.addCleanup(self.end)

    def read(self, seconds):
        if select.select([self.screen], [], [], seconds)[0]:
            try:
                self.text += os.read(self.screen, 4096).decode("utf-8", "replace")
            except OSError:  # that of Linux once the other side is closed
                time.sleep(0.01)

    def shown(self):
        """What was printed, without what moves the cursor or colours."""
        return re.sub(r"\x1b(\[[0-9;?]*[a-zA-Z]|\][^\x07]*\x07)", "", self.text)

    def wait_until(self, condition, what, keys=None):
        end = time.monotonic() + child.LIMIT
        press = time.monotonic()
        while not condition():
            now = time.monotonic()
            if now > end:
                raise AssertionError("waited %d s for %s; it printed:\n%s" % (child.LIMIT, what, self.shown()[-2000:]))
            if keys and now >= press:
                os.write(self.screen, keys)
                press = now + 1
            self.read(0.2)

    def ended(self):
        if self.code is None:
            process, status = os.waitpid(self.process, os.WNOHANG)
            if process:
                self.code = os.waitstatus_to_exitcode(status)
        return self.code is not None

    def end(self):
        if not self.ended():
            os.kill(self.process, 9)
            os.waitpid(self.process, 0)
        os.close(self.screen)


class Console(unittest.TestCase):
    def check(self, program, *arguments):
        path = child.executable(os.path.join(EXAMPLES, program))
        self.assertIsNotNone(path, program)
        terminal = Terminal(self, path, *arguments)
        terminal.wait_until(lambda: re.search(r"ready.*\n", terminal.shown()), "ready")
        terminal.wait_until(terminal.ended, "its end", keys=b"\x03")
        self.assertEqual(terminal.code, 0, terminal.shown()[-2000:])

    def test_punch_master(self):
        self.check("punch", "master", "--bind", "127.0.0.1", "--port", "0", "--seconds", "300")

    def test_punch_host(self):
        self.check("punch", "host", "--master", "127.0.0.1:1", "--bind", "127.0.0.1", "--seconds", "300")

    def test_gatepunch(self):
        self.check("gatepunch", "--bind", "127.0.0.1", "--port", "0")


if __name__ == "__main__":
    EXAMPLES = child.main("DIRECTORY_OF_EXAMPLES")
    unittest.main(verbosity=2)
