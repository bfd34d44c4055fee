"""How many system calls are made: test_syscalls.py PATH_OF_GMPUNCH_BENCH [PATH_OF_GATEPUNCH]

An idle poll(..., 0) makes at most one. An introduction of a client that comes, asks and goes makes those that README lists
(with epoll: of a gatepunch with poll no path is given).
Needs strace and the permission to trace; without them it is skipped (exit code 77)."""
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
from child import datagram  # noqa: E402

POLLS = 100
INTRODUCTIONS = 100
ALLOWED = {"recvmmsg": 1, "accept4": 2, "epoll_ctl": 1, "recvfrom": 2, "sendto": 2, "close": 1, "epoll_wait": 3}  # for each
FEW = 50  # of each, to begin and to end; sanitizers make some as well


def calls_between_markers(bench, who):
    """The system calls between the two markers that the benchmark writes, one line each."""
    with tempfile.TemporaryDirectory() as directory:
        trace = os.path.join(directory, "trace")
        # without leak detection, which a tracer disturbs
        environment = dict(os.environ, ASAN_OPTIONS="detect_leaks=0")
        subprocess.run(["strace", "-f", "-o", trace, bench, "--idle", who, str(POLLS)], check=True,
                       stdout=subprocess.DEVNULL, env=environment, timeout=120)
        with open(trace, encoding="utf-8", errors="replace") as file:
            lines = file.read().splitlines()
    begin = next(i for i, line in enumerate(lines) if "idle begins" in line)
    end = next(i for i, line in enumerate(lines) if "idle ends" in line)
    return lines[begin + 1:end]


def introduce(udp, tcp):
    """A host, and clients one after the other, each with both sides told."""
    with socket.create_connection(tcp, 20) as host, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(datagram(b"reg\n\0"), udp)
        host.sendall(b"reg\n\0reg2\n\x001.2.4\n\0" + b"\n\0" * 8)  # one that reads a stream: no pause between introductions
        for _ in range(INTRODUCTIONS):
            with socket.create_connection(tcp, 20) as client, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as port:
                port.sendto(datagram(b"connect\n\0"), udp)
                client.sendall(b"connect\n\x00127.0.0.1\n\0")
                if client.recv(100)[:1] != b"\xff" or host.recv(100)[:1] != b"\xff":
                    raise AssertionError("no introduction")


def calls_of_introductions(gatepunch):
    """{system call: how often} of a master."""
    with tempfile.TemporaryDirectory() as directory:
        summary = os.path.join(directory, "summary")
        server = subprocess.Popen(["strace", "-f", "-c", "-o", summary, gatepunch, "--bind=127.0.0.1", "--port=0",
                                   "--max-commands-per-second=never"], stdout=subprocess.PIPE, text=True,
                                  env=dict(os.environ, ASAN_OPTIONS="detect_leaks=0"))
        try:
            ready = next(line for line in server.stdout if " ready " in line)
            ip, port = ready.split("tcp=")[1].split()[0].split(":")
            introduce((ip, int(port)), (ip, int(port)))
        finally:
            with open(f"/proc/{server.pid}/task/{server.pid}/children", encoding="ascii") as file:
                children = [int(child) for child in file.read().split()]
            for child in children:
                os.kill(child, signal.SIGTERM)
            server.communicate(timeout=60)
        with open(summary, encoding="utf-8") as file:
            rows = [line.split() for line in file]
    return {row[-1]: int(row[3]) for row in rows if len(row) >= 5 and row[3].isdigit()}


def check_introductions(gatepunch):
    calls = calls_of_introductions(gatepunch)
    moving = {name: calls.get(name, 0) for name in [*ALLOWED, "epoll_pwait", "recvmsg", "sendmsg", "setsockopt", "fcntl",
                                                    "getpeername", "shutdown", "ioctl"]}
    wrong = {name: count for name, count in moving.items()
             if count > ALLOWED.get(name, 0) * INTRODUCTIONS + FEW or (name in ALLOWED and count < INTRODUCTIONS)}
    told = ", ".join(f"{count} {name}" for name, count in moving.items() if name in ALLOWED)
    print(f"{'FAILED' if wrong else 'ok'}: {INTRODUCTIONS} introductions: {told}")
    return len(wrong)


def main():
    if not shutil.which("strace"):
        print("SKIPPED: strace is not installed")
        return 77
    if subprocess.run(["strace", "-o", os.devnull, "true"], stderr=subprocess.DEVNULL, check=False).returncode:
        print("SKIPPED: tracing is not permitted here")
        return 77
    failures = 0
    for who in ("client", "host", "master"):
        calls = calls_between_markers(sys.argv[1], who)
        good = 0 < len(calls) <= POLLS
        failures += not good
        print(f"{'ok' if good else 'FAILED'}: {who}: {len(calls)} system calls in {POLLS} idle polls")
        if not good:
            print("\n".join(calls[:10]))
    if sys.argv[2:]:
        failures += check_introductions(sys.argv[2])
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
