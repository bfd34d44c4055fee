"""How much memory a gatepunch with many hosts takes: hosts.py PATH_OF_GATEPUNCH [HOSTS ...] [--data BYTES | --reg]   (Linux)

Starts it, registers HOSTS hosts (default: 1000 and 10000) over loopback, each from an address of its own and with eight data
strings of BYTES bytes (default: 16), or with --reg as in the published protocol: without any, so not in the lobby; and prints
how its resident memory (VmRSS) grew per host. Beside that, what the kernel took for both ends of each connection (Slab of
/proc/meminfo) and for bytes under way (TCP mem of /proc/net/sockstat). These are of the whole machine, so other programs
disturb them. This script and gatepunch each need HOSTS descriptors and a few: see ulimit -Hn."""
import argparse
import json
import re
import resource
import signal
import socket
import struct
import subprocess
import sys

REGISTRATION = struct.pack("<III", 0xDEADC0DE, 12, 5) + b"reg\n\0"


def number_in(path, pattern):
    with open(path, encoding="ascii") as file:
        return int(re.search(pattern, file.read()).group(1))


class Gate:
    def __init__(self, path):
        self.process = subprocess.Popen([path, "--bind=127.0.0.1", "--port=0", "--log-format=json", "--log-rate=1"],
                                        stdout=subprocess.PIPE)
        ip, port = self.entry("ready")["tcp"].split(":")
        self.address = ip, int(port)

    def entry(self, item):
        for line in self.process.stdout:
            entry = json.loads(line)
            if entry["item"] == item:
                return entry
        sys.exit("gatepunch ended")

    def counters(self):
        self.process.send_signal(signal.SIGUSR1)
        return self.entry("stats")

    def stop(self):
        self.process.terminate()
        self.process.communicate()


def register(number, address, data):
    """The connection of a new host; data None: without strings."""
    ip = "127.1.%d.%d" % divmod(number, 256)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind((ip, 0))
        udp.sendto(REGISTRATION, address)
    tcp = socket.create_connection(address, 10, (ip, 0))
    lines = [b"reg"] if data is None else [b"reg2", b"1.2.4", *[data] * 8]
    tcp.sendall(b"".join(line + b"\n\0" for line in lines))
    return tcp


def measure(path, count, data):
    gate = Gate(path)

    def memory():
        return (1024 * number_in("/proc/%d/status" % gate.process.pid, r"VmRSS:\s+(\d+) kB"),
                1024 * number_in("/proc/meminfo", r"Slab:\s+(\d+) kB"),
                resource.getpagesize() * number_in("/proc/net/sockstat", r"TCP: .* mem (\d+)"))
    try:
        before = memory()
        hosts = [register(number, gate.address, data) for number in range(count)]
        counted = gate.counters()
        while counted["hosts"] < count:  # the last of them are still being read
            counted = gate.counters()
        after = memory()
        for host in hosts:
            host.close()
    finally:
        gate.stop()
    grown = [a - b for a, b in zip(after, before)]
    print("%6d hosts, %5d listed: VmRSS %.1f MiB, +%.0f bytes per host (%.0f counted by gatepunch, %.0f of them data); "
          "kernel for both ends: Slab %+.0f per host, TCP mem %+.0f per host" % (
              count, counted["listed"], after[0] / 2 ** 20, grown[0] / count, counted["memory"] / count,
              counted["data_bytes"] / count, grown[1] / count, grown[2] / count))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("gatepunch")
    parser.add_argument("hosts", nargs="*", type=int, default=[1000, 10000])
    parser.add_argument("--data", type=int, default=16, metavar="BYTES", help="of each of the eight data strings")
    parser.add_argument("--reg", action="store_true", help="hosts without data strings")
    arguments = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    for count in arguments.hosts:
        measure(arguments.gatepunch, count, None if arguments.reg else b"x" * arguments.data)


if __name__ == "__main__":
    main()
