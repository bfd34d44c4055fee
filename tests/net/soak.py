#!/usr/bin/env python3
"""Master, hosts and clients for a long time in a small internet of network namespaces, with loss, restarts and cut links.

usage: soak.py [--seconds N] [--seed S] [...]      Linux, as root, with iproute2; nftables for NAT and loss

Every player and the master sit at a site of their own behind one router in the middle. Some sites are behind a home router
with a NAT of Linux: `masquerade` (keeps the port, lets in only what was asked for) or `masquerade fully-random` (symmetric).
Checked: every client that should connect does (a pair of which the README says so, see Session for what may be repeated),
its text comes back, memory and descriptors do not grow, each host that lost the master finds it again, no sanitizer
complains, and all programs end with exit code 0. Prints what happens, and as the last line the summary. Exit codes: 0 all
went well, 1 something failed, 2 wrong usage, 77 skipped (no root, no namespaces: says which).

Where the kernel lacks something the network does without, and the line `network` says so: netem (else no delay, and loss by
nftables), nftables (else plain routing: no NAT, and without netem no loss; a cut link is then always an interface that is down).
"""
import argparse
import collections
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
from child import Child  # noqa: E402

SKIPPED = 77
TREE = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
PORT = 6510
TIMEOUT_MS = 15000  # of a client
ATTEMPTS = 5  # that a client has on an undisturbed network
REPEATED = 0.05, 3  # of all sessions at most this part, and some, need more than one
REGISTER_S = 30  # until a host must have found the master again
WARM_UP_S = 10  # of a program, after which its memory may only grow by GROWTH
GROWTH = {"plain": 512, "sanitized": 4096}  # KiB
SIGNALS = signal.SIGINT, signal.SIGTERM, signal.SIGHUP
SANITIZER = re.compile(r"AddressSanitizer|LeakSanitizer|runtime error|UndefinedBehaviorSanitizer")

# Of the sites: name, how it is connected: "" (a public address), "masquerade" or "masquerade fully-random"
HOSTS = [("host1", ""), ("host2", "masquerade"), ("host3", "masquerade"), ("host4", "masquerade fully-random")]
# Many sites of clients, as it goes wrong now and then where clients of one address follow each other within a second: see Session.
CLIENTS = [("client%d" % n, ("", "masquerade", "masquerade", "masquerade fully-random")[n % 4]) for n in range(1, 13)]


def connects(host_nat, client_nat):
    """As the table in the README: a symmetric NAT at one side needs a side without NAT at the other."""
    symmetric = [nat for nat in (host_nat, client_nat) if "random" in nat]
    return not symmetric or "" in (host_nat, client_nat)


class Failure(Exception):
    pass


def say(text, *values):
    print("%8.1f %s" % (time.monotonic() - START, text % values), flush=True)


# ---- the network

class Site:
    """Where a program runs. public: the address by which others see it."""

    def __init__(self, name, nat, number):
        self.name = name
        self.nat = nat
        self.link = "s%d" % number  # its interface at the router in the middle
        self.public = "198.18.%d.2" % number
        self.gateway = "198.18.%d.1" % number
        self.namespace = None  # in which programs run


class Network:
    def __init__(self):
        self.prefix = "gmpsoak%d-" % os.getpid()
        self.made = []  # namespaces
        self.sites = 0

    def open(self, loss):
        """Raises OSError if this system can't."""
        self.core = self.namespace("core")
        if not self.can("ip", "link", "add", "one", "type", "veth", "peer", "name", "other"):
            raise OSError("the kernel has no veth")
        self.run(self.core, "ip", "link", "delete", "one")
        self.netem = self.can("tc", "qdisc", "add", "dev", "lo", "root", "netem", "delay", "1ms")
        if self.netem:
            self.run(self.core, "tc", "qdisc", "del", "dev", "lo", "root")
        # The first chain only tries whether the kernel has NAT.
        self.nat = shutil.which("nft") is not None and self.nft(self.core, """
            table ip soak {
                set cut { type ifname; }
                chain nat { type nat hook postrouting priority srcnat; oifname "none" masquerade; }
                chain through {
                    type filter hook forward priority filter;
                    iifname @cut drop
                    oifname @cut drop
                    %s
                }
            }""" % ("" if self.netem or not loss else "numgen random mod 1000 < %d drop" % round(loss * 10)), check=False)
        self.loss = loss
        self.forward(self.core)
        say("network nat=%s loss=%s delay=%s", "nftables" if self.nat else "none (no nftables: plain routing)",
            "none" if not loss else "%g%% by netem" % loss if self.netem else
            "%g%% by nftables" % loss if self.nat else "none (neither netem nor nftables)",
            "15ms by netem" if self.netem else "none (the kernel has no netem)")

    def namespace(self, name):
        name = self.prefix + name
        made = subprocess.run(["ip", "netns", "add", name], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        if made.returncode:
            raise OSError(made.stderr.strip())
        self.made.append(name)
        self.run(name, "ip", "link", "set", "lo", "up")
        return name

    def run(self, namespace, *command, check=True):
        done = subprocess.run(["ip", "netns", "exec", namespace, *command], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if check and done.returncode:
            raise Failure("%s: %s" % (" ".join(command), done.stdout.strip()))
        return done.returncode == 0

    def can(self, *command):
        return self.run(self.core, *command, check=False)

    def forward(self, namespace):
        self.run(namespace, "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")

    def nft(self, namespace, rules, check=True):
        done = subprocess.run(["ip", "netns", "exec", namespace, "nft", "-f", "-"], input=rules, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
        if check and done.returncode:
            raise Failure("nft: %s" % done.stdout.strip())
        return done.returncode == 0

    def connect(self, namespace, interface, address, gateway):
        self.run(namespace, "ip", "address", "add", address + "/24", "dev", interface)
        self.run(namespace, "ip", "link", "set", interface, "up")
        if gateway:
            self.run(namespace, "ip", "route", "add", "default", "via", gateway)

    def shape(self, namespace, interface):
        """Loss and delay of what leaves by this interface: of each crossing half, as each packet passes two."""
        if self.netem:
            self.run(namespace, "tc", "qdisc", "add", "dev", interface, "root", "netem", "delay", "7500us", "2ms",
                     "loss", "%g%%" % (self.loss / 2))

    def site(self, name, nat):
        site = Site(name, nat if self.nat else "", self.sites)
        self.sites += 1
        outer = self.namespace(name)
        self.run(self.core, "ip", "link", "add", site.link, "type", "veth", "peer", "name", "wan", "netns", outer)
        self.connect(self.core, site.link, site.gateway, None)
        self.connect(outer, "wan", site.public, site.gateway)
        self.shape(self.core, site.link)
        self.shape(outer, "wan")
        site.namespace = outer
        if site.nat:
            site.namespace = self.namespace(name + "-lan")
            self.run(outer, "ip", "link", "add", "lan", "type", "veth", "peer", "name", "eth0", "netns", site.namespace)
            self.connect(outer, "lan", "192.168.1.1", None)
            self.connect(site.namespace, "eth0", "192.168.1.2", "192.168.1.1")
            self.forward(outer)
            # What comes in unasked is dropped, as home routers do.
            self.nft(outer, """
                table ip home {
                    chain nat { type nat hook postrouting priority srcnat; oifname "wan" meta l4proto { tcp, udp } %s; }
                    chain in {
                        type filter hook input priority filter;
                        iifname "wan" ct state != { established, related } drop
                    }
                    chain through {
                        type filter hook forward priority filter;
                        iifname "wan" ct state != { established, related } drop
                    }
                }""" % site.nat)
        return site

    def cut(self, site, silent, on):
        if silent:
            self.nft(self.core, "%s element ip soak cut { %s }" % ("add" if on else "delete", site.link))
        else:
            self.run(self.core, "ip", "link", "set", site.link, "down" if on else "up")

    def remove(self):
        for name in reversed(self.made):
            subprocess.run(["ip", "netns", "delete", name], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.made.clear()


# ---- programs

class Program(Child):
    """A program at a site."""

    running = []

    def __init__(self, site, path, *arguments):
        self.started = time.monotonic()
        self.warm = None  # RSS in KiB after WARM_UP_S
        super().__init__(self, "ip", "netns", "exec", site.namespace, path, *arguments)
        self.name = "%s at %s" % (os.path.basename(path), site.name)

    def addCleanup(self, _):  # what Child wants of a test
        Program.running.append(self)

    def end(self):
        super().end()
        if self in Program.running:
            Program.running.remove(self)

    def over(self):
        """Whether it has ended and all that it printed is here. What a sanitizer finds is a failure."""
        if self.process.poll() is None or any(reader.is_alive() for reader in self.readers):
            return False
        if SANITIZER.search(self.errors) or self.process.returncode not in (0, 1):
            raise Failure("%s ended with %s\n%s" % (self.name, self.process.returncode, self.errors))
        self.end()
        return True

    def take_lines(self):
        """The lines since the last call. They are forgotten: there will be many."""
        with self.news:
            lines, self.lines[:] = self.lines[:], []
            self.taken = 0
        return lines

    def rss(self):
        with open("/proc/%d/status" % self.process.pid, encoding="ascii") as file:
            return int(re.search(r"VmRSS:\s+(\d+) kB", file.read()).group(1))

    def descriptors(self):
        return len(os.listdir("/proc/%d/fd" % self.process.pid))

    def watch(self, bound):
        """The growth of its memory since the warm-up, None before. More than the bound is a failure."""
        if self.process.poll() is not None:
            raise Failure("%s ended with %s\n%s" % (self.name, self.process.returncode, self.errors))
        if time.monotonic() < self.started + WARM_UP_S:
            return None
        rss = self.rss()
        if self.warm is None:
            self.warm = rss
        if rss > self.warm + bound:
            raise Failure("%s grew from %d to %d KiB" % (self.name, self.warm, rss))
        return rss - self.warm

    def stop(self):
        self.process.terminate()
        self.wait(0)
        if not self.over():
            raise Failure("%s closed its output, but goes on" % self.name)


def build(directory, kind):
    flags = {"plain": ["-O2", "-g"],
             "sanitized": ["-O1", "-g", "-fno-omit-frame-pointer", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]}
    for program in ("gatepunch", "punch"):
        subprocess.run([os.environ.get("CC", "cc"), *flags[kind], os.path.join(TREE, "examples", program + ".c"),
                        "-o", os.path.join(directory, program)], check=True)
    # Little is kept back after it was freed, so that the growth of memory means something. 99: no exit code of the programs.
    os.environ["ASAN_OPTIONS"] = "exitcode=99:quarantine_size_mb=1:thread_local_quarantine_size_kb=64"
    os.environ["UBSAN_OPTIONS"] = "print_stacktrace=1:exitcode=99"


# ---- the soak

class Player:
    """A site, and what disturbs it: while it is disturbed, and for what began before, failing is no failure."""

    def __init__(self, site):
        self.site = site
        self.disturbances = 0  # now
        self.cut = False
        self.last = 0.0  # end of the last
        self.program = None  # of a host
        self.port = 0
        self.registered = False
        self.deadline = None  # by which a host must have registered

    def disturbed_since(self, start):
        return self.disturbances > 0 or self.last > start


class Session:
    """A client and a host that should connect. It is repeated until it does. While the master, its host or its own link is
    disturbed it may fail any number of times; on an undisturbed network, which still loses packets, ATTEMPTS - 1 times. Loss
    alone does not make it fail; but when a client's datagram is lost, the master takes that of the next client behind the
    same address for it (the protocol knows no more of them than the address), and so on until a second passes without one."""

    def __init__(self, number, host, client):
        self.number = number
        self.host = host
        self.client = client
        self.failed = 0  # undisturbed
        self.program = None
        self.started = 0.0


class Soak:
    def __init__(self, arguments, programs, network):
        self.gatepunch = os.path.join(programs, "gatepunch")
        self.punch = os.path.join(programs, "punch")
        self.random = random.Random(arguments.seed)
        self.arguments = arguments
        self.network = network
        self.bound = GROWTH[arguments.build]
        self.master = Player(network.site("master", ""))
        self.hosts = [Player(network.site(*site)) for site in HOSTS]
        self.clients = [Player(network.site(*site)) for site in CLIENTS]
        self.pairs = [(h, c) for h in self.hosts for c in self.clients if connects(h.site.nat, c.site.nat)]
        self.address = "%s:%d" % (self.master.site.public, PORT)
        self.later = []  # (time, function)
        self.disturbances = []  # functions
        self.waiting = collections.deque()  # sessions to be tried (again)
        self.running = []
        self.counts = collections.Counter()
        self.reasons = collections.Counter()
        self.growth = collections.Counter()  # the largest of each kind of program
        self.first_rss = {}
        self.descriptors = {}  # of each kind of program, at rest

    # -- programs

    def start_master(self):
        program = Program(self.master.site, self.gatepunch, "--port", str(PORT), "--log-rate", "10")
        self.master.program = program
        program.text_line(".* ready ")
        self.descriptors.setdefault("master", program.descriptors())  # before the first host is there

    def start_host(self, player):
        player.registered = False
        player.program = Program(player.site, self.punch, "host", "--master", self.address, "--max-peers", "4096", "--port",
                                 str(player.port), "--data1", "soak", "--data2", player.site.name)
        player.program.line("ready")
        player.deadline = time.monotonic() + REGISTER_S

    def read_host(self, player):
        for line in player.program.take_lines():
            word = line.split(" ", 1)[0]
            if word in ("unregistered", "joined"):
                self.counts[word] += 1
            if word == "unregistered":
                player.registered = False
            elif word == "registered":
                player.registered = True
        if player.registered and player.deadline is not None and self.master.program:
            player.deadline = None
            self.after(2, lambda: self.calm(player))  # its UDP port may be lost on the way, and is sent again
        if player.deadline is not None and time.monotonic() > player.deadline:
            raise Failure("%s did not find the master again in %d s" % (player.site.name, REGISTER_S))

    def watch(self):
        for kind, programs in (("master", [self.master.program]), ("host", [host.program for host in self.hosts])):
            for program in programs:
                growth = program.watch(self.bound) if program else None
                if growth is not None:
                    self.first_rss.setdefault(kind, program.warm)
                    self.growth[kind] = max(self.growth[kind], growth)
        self.after(1, self.watch)

    # -- disturbances

    def after(self, seconds, function):
        self.later.append((time.monotonic() + seconds, function))

    def disturb(self, player):
        player.disturbances += 1

    def calm(self, player):
        player.disturbances -= 1
        player.last = time.monotonic()

    def cut_link(self, player):
        """False if it is cut already, as are the two below if this is not the time for it."""
        if player.cut:
            return False
        silent = self.random.random() < 0.6 and self.network.nat
        seconds = self.random.uniform(0.5, 6)
        say("cut %s for %.1f s (%s)", player.site.name, seconds, "silent" if silent else "interface down")
        self.counts["cuts"] += 1
        self.disturb(player)
        player.cut = True
        self.network.cut(player.site, silent, True)

        def mend():
            self.network.cut(player.site, silent, False)
            player.cut = False
            self.after(seconds + 2, lambda: self.calm(player))  # TCP tries again after as long as it waited
        self.after(seconds, mend)
        return True

    def restart_master(self):
        if not self.master.program or not all(self.settled(host) for host in self.hosts):
            return False
        seconds = self.random.uniform(0, 4)
        say("restart master, away for %.1f s", seconds)
        self.counts["master_restarts"] += 1
        for host in self.hosts:
            host.registered = False
            host.deadline = time.monotonic() + seconds + REGISTER_S
            self.disturb(host)
        program, self.master.program = self.master.program, None
        program.stop()
        self.after(seconds, self.start_master)
        return True

    def restart_host(self, player):
        if not self.settled(player):
            return False
        crash = self.random.random() < 0.5
        seconds = self.random.uniform(0, 4)
        player.port = self.random.choice([0, 40000])  # the next time from a new port, or from one that may be known
        say("restart %s, away for %.1f s (%s)", player.site.name, seconds, "killed" if crash else "asked to end")
        self.counts["host_restarts"] += 1
        self.disturb(player)
        if crash:
            player.program.end()
        else:
            player.program.stop()
        self.read_host(player)
        player.program = None
        self.after(seconds, lambda: self.start_host(player))
        return True

    def settled(self, host):
        return host.program is not None and host.deadline is None

    def next_disturbance(self, end):
        """Each once, in an order by chance, then again. One that can't be now is put off."""
        if time.monotonic() > end:
            return
        if not self.disturbances:
            self.disturbances = [self.restart_master] + [lambda p=p: self.restart_host(p) for p in self.hosts] + [
                lambda p=p: self.cut_link(p) for p in [self.master, *self.hosts, *self.clients]]
            self.random.shuffle(self.disturbances)
        for disturbance in list(self.disturbances):
            if disturbance():
                self.disturbances.remove(disturbance)
                break
        self.after(self.random.uniform(2, 5), lambda: self.next_disturbance(end))

    # -- sessions

    def new_session(self, end):
        if time.monotonic() > end:
            return
        self.counts["sessions"] += 1
        self.waiting.append(Session(self.counts["sessions"], *self.random.choice(self.pairs)))
        self.after(1 / self.arguments.rate, lambda: self.new_session(end))

    def try_session(self, session):
        session.started = time.monotonic()
        session.program = Program(session.client.site, self.punch, "client", "--master", self.address, "--server",
                                  session.host.site.public, "--timeout", str(TIMEOUT_MS), "--send", "session %d" % session.number)
        self.counts["attempts"] += 1
        self.running.append(session)

    def end_session(self, session):
        """A client has ended. False if it is to be repeated."""
        names = "%s to %s" % (session.client.site.name, session.host.site.name)
        lines = session.program.take_lines()
        if session.program.process.returncode == 0:
            if not any(line.startswith("connected ") and "how=punched" in line for line in lines):
                raise Failure("%s: not punched\n%s" % (names, "\n".join(lines)))
            self.counts["connected"] += 1
            return True
        found = re.search(r"^(?:failed|lost) reason=(\S+)", "\n".join(lines), re.M)
        reason = found.group(1) if found else "no_reason"
        self.reasons[reason] += 1
        if any(player.disturbed_since(session.started) for player in (self.master, session.host, session.client)):
            self.counts["disturbed"] += 1
            return False
        session.failed += 1
        self.counts["repeated"] += 1
        say("undisturbed, but %s failed: %s", names, lines[-1] if lines else session.program.errors)
        if session.failed == ATTEMPTS:
            raise Failure("%s: %d undisturbed attempts failed, the last with %s" % (names, ATTEMPTS, reason))
        return False

    # -- all together

    def turn(self):
        now = time.monotonic()
        due = [entry for entry in self.later if entry[0] <= now]
        self.later = [entry for entry in self.later if entry[0] > now]
        for _, function in sorted(due, key=lambda entry: entry[0]):
            function()
        for host in self.hosts:
            if host.program:
                self.read_host(host)
        if self.master.program:
            self.master.program.take_lines()
        for session in [session for session in self.running if session.program.over()]:
            self.running.remove(session)
            if not self.end_session(session):
                self.after(0.5, lambda session=session: self.waiting.append(session))
        while self.waiting and len(self.running) < self.arguments.at_once:
            self.try_session(self.waiting.popleft())
        time.sleep(0.01)

    def turn_until(self, condition, seconds, what):
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise Failure("waited %d s for %s" % (seconds, what))
            self.turn()

    def all_registered(self):
        return all(host.registered and not host.disturbances for host in self.hosts)

    def run(self):
        end = time.monotonic() + self.arguments.seconds
        self.start_master()
        for host in self.hosts:
            self.disturb(host)
            self.start_host(host)
        self.turn_until(self.all_registered, REGISTER_S, "the hosts to register")
        self.descriptors["host"] = self.hosts[0].program.descriptors()
        self.watch()
        self.new_session(end)
        self.next_disturbance(end - 1.5 * WARM_UP_S)
        while time.monotonic() < end:
            self.turn()
        self.turn_until(lambda: self.counts["connected"] == self.counts["sessions"], 90, "the last sessions to connect")
        self.turn_until(self.all_registered, REGISTER_S, "the hosts to register")
        part, some = REPEATED
        if self.counts["repeated"] > part * self.counts["sessions"] + some:
            raise Failure("%d attempts failed undisturbed" % self.counts["repeated"])
        at_rest = self.descriptors["master"] + len(self.hosts)
        self.turn_until(lambda: self.master.program.descriptors() == at_rest, 30,
                        "the master's descriptors to be %d again, there are %d" % (
                            at_rest, self.master.program.descriptors()))
        for host in self.hosts:
            if host.program.descriptors() != self.descriptors["host"]:
                raise Failure("%s has %d descriptors, not %d" % (host.program.name, host.program.descriptors(),
                                                                 self.descriptors["host"]))
        for player in [*self.hosts, self.master]:
            player.program.watch(self.bound)
            player.program.stop()

    def summary(self):
        reasons = ",".join("%s:%d" % entry for entry in sorted(self.reasons.items()))
        words = ["sessions=%(sessions)d connected=%(connected)d attempts=%(attempts)d disturbed=%(disturbed)d "
                 "repeated=%(repeated)d joined=%(joined)d unregistered=%(unregistered)d master_restarts=%(master_restarts)d "
                 "host_restarts=%(host_restarts)d cuts=%(cuts)d" % self.counts, "reasons=%s" % (reasons or "none")]
        for kind in ("master", "host"):
            words.append("%s_rss_kib=%d+%d %s_descriptors=%d" % (kind, self.first_rss.get(kind, 0), self.growth[kind], kind,
                                                                  self.descriptors.get(kind, 0)))
        return " ".join(words)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120, help="default 120; some more for the end")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of what is disturbed when. Default: the clock")
    parser.add_argument("--build", choices=sorted(GROWTH), default="sanitized", help="default sanitized")
    parser.add_argument("--loss", type=float, default=5, help="percent of all packets. Default 5")
    parser.add_argument("--rate", type=float, default=6, help="sessions per second. Default 6")
    parser.add_argument("--at-once", type=int, default=24, help="clients. Default 24")
    arguments = parser.parse_args()
    if not sys.platform.startswith("linux") or os.geteuid() != 0 or not shutil.which("ip"):
        print("SKIPPED: soak.py needs Linux, root and iproute2 (ip netns)", flush=True)
        return SKIPPED

    def on_signal(number, _):
        raise KeyboardInterrupt(signal.Signals(number).name)
    for number in SIGNALS:
        signal.signal(number, on_signal)

    result = "failed"
    network = Network()
    soak = None
    with tempfile.TemporaryDirectory(prefix="gmpunch-soak-") as programs:
        try:
            try:
                network.open(arguments.loss)
            except OSError as error:
                print("SKIPPED: no network namespaces here: %s" % error, flush=True)
                return SKIPPED
            build(programs, arguments.build)
            soak = Soak(arguments, programs, network)
            soak.run()
            result = "ok"
        except (Failure, AssertionError) as error:
            say("FAILED: %s", error)
        except KeyboardInterrupt as error:
            say("interrupted: %s", error)
        finally:
            for number in SIGNALS:
                signal.signal(number, signal.SIG_IGN)
            for program in list(Program.running):
                program.end()
            network.remove()
    print("soak %s seed=%d seconds=%g build=%s %s" % (result, arguments.seed, arguments.seconds, arguments.build,
                                                      soak.summary() if soak else ""), flush=True)
    return 0 if result == "ok" else 1


START = time.monotonic()
if __name__ == "__main__":
    sys.exit(main())
