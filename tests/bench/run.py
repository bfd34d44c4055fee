"""Runs what run.sh built: run.sh [--quick] [--rounds N] [--only PART ...]

Each scenario runs in every round once with gatepunch, once with the floor, in turns; the tables have the medians of all rounds.
Parts: introductions, hold, lobby, pressure, engine. Exit code 1 if an answer was wrong or missing."""
import argparse
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import time

PARTS = ("introductions", "hold", "lobby", "pressure", "engine")
OURS, FLOOR = "gatepunch", "floor"


def start(command, output):
    """A server and its address. gatepunch runs as it is by default."""
    with open(output, "wb") as file:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, preexec_fn=lambda: pin(-1))
    for _ in range(1000):
        with open(output, encoding="ascii") as file:
            for line in file:
                if "tcp=" in line and line.endswith("\n"):
                    return process, line.split("tcp=")[1].split()[0]
        if process.poll() is not None:
            break
        time.sleep(0.01)
    process.kill()
    process.wait()
    sys.exit("%s does not start" % command[0])


def pin(place):
    """The server has one processor, the load another, where there are two."""
    processors = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, [processors[place]])


class Bench:
    def __init__(self, build, rounds):
        self.build = build
        self.rounds = rounds
        self.faults = 0
        self.introductions = 0

    def path(self, name):
        return os.path.join(self.build, name)

    def measure(self, server, load, list_bytes=0):
        """What load says of a server that was started for it."""
        if server == OURS:
            command = [self.path(OURS), "--bind=127.0.0.1", "--port=0"]
        else:
            command = [self.path(FLOOR), str(max(2, list_bytes))]
            load = [*load, "--floor"]
        process, address = start(command, self.path(server + ".log"))
        try:
            done = subprocess.run([self.path("load"), "--server", address, "--pid", str(process.pid), *map(str, load)],
                                  stdout=subprocess.PIPE, text=True, preexec_fn=lambda: pin(0))
        finally:
            process.terminate()
            process.wait()
        if done.returncode not in (0, 1) or not done.stdout:
            sys.exit("load %s ended with %d" % (" ".join(map(str, load)), done.returncode))
        result = json.loads(done.stdout)
        if done.returncode:
            self.faults += 1
            print("FAILED: %s, load %s: %s" % (server, " ".join(map(str, load)), done.stdout.strip()), flush=True)
        if server == OURS and "--introductions" in load:
            self.introductions += result.get("count", 0)
        return result

    def compare(self, scenarios):
        """{name: {server: {figure: median}}} of {name: arguments for load}."""
        results = {name: {OURS: [], FLOOR: []} for name in scenarios}
        for number in range(self.rounds):
            for name, load in scenarios.items():
                servers = [OURS, FLOOR] if number % 2 == 0 else [FLOOR, OURS]
                for server in servers:  # the floor sends lists as long as ours were the last time
                    ours = results[name][OURS]
                    results[name][server].append(self.measure(server, load, ours[-1]["list_bytes"] if ours else 0))
        return {name: {server: {key: statistics.median(run.get(key, math.nan) for run in runs) for key in runs[0]}
                       for server, runs in servers.items()} for name, servers in results.items()}


# ---- tables

def text(value, digits=3):
    """With so many significant digits, but all before the point."""
    if isinstance(value, str):
        return value
    if math.isnan(value):
        return "-"
    places = max(0, digits - 1 - math.floor(math.log10(abs(value)))) if value else 0
    return "{:,.{}f}".format(value, places)


def print_table(title, head, rows):
    cells = [head] + [[text(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    print("\n%s\n" % title)
    for number, row in enumerate(cells):
        print("| " + " | ".join(cell.ljust(width) if i == 0 else cell.rjust(width)
                                for i, (cell, width) in enumerate(zip(row, widths))) + " |")
        if number == 0:
            print("| " + " | ".join("-" * (width - (i > 0)) + (":" if i > 0 else "") for i, width in enumerate(widths)) + " |")
    sys.stdout.flush()


def ratio(pair, figure):
    return pair[OURS].get(figure, math.nan) / pair[FLOOR].get(figure, math.nan) if pair[FLOOR].get(figure) else math.nan


def introductions(bench, quick):
    scenarios = {}
    for reuse in (False, True):
        for at_once in (1, 16, 64, 256):
            count = 3000 if quick else 20000 if at_once == 1 else 50000
            scenarios["%s, %d at once" % ("reused" if reuse else "fresh", at_once)] = [
                "--hosts", 1000, "--introductions", count, "--at-once", at_once, *(["--reuse"] if reuse else [])]
    rows = []
    for name, pair in bench.compare(scenarios).items():
        ours, floor = pair[OURS], pair[FLOOR]
        rows.append([name, *(side[figure] for figure in ("per_s", "cpu_us", "p50_us", "p99_us", "p999_us")
                             for side in (ours, floor)), ratio(pair, "cpu_us"), ratio(pair, "p99_us")])
    print_table("Introductions, 1,000 hosts (ours / floor; processor time and latencies in µs)",
                ["connections", "per s", "floor", "cpu", "floor", "p50", "floor", "p99", "floor", "p99.9", "floor", "cpu ratio",
                 "p99 ratio"], rows)


def hold(bench, quick):
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 1000
    scenarios = {"{:,}".format(hosts): ["--hosts", hosts, "--data", 0, "--idle", 1 if quick else 5, "--introductions",
                                        3000 if quick else 50000, "--at-once", 64]
                 for hosts in (1000, 10000, 19000) if hosts <= most}
    rows = []
    for name, pair in bench.compare(scenarios).items():
        for server in (OURS, FLOOR):
            side = pair[server]
            rows.append(["%s, %s" % (name, server), side["register_per_s"], side["register_cpu_us"], side["rss_kib"] / 1024,
                         side["rss_per_host"], side["idle_percent"], side["kept_percent"], side["cpu_us"]])
        rows.append(["ratio", *(ratio(pair, figure) for figure in ("register_per_s", "register_cpu_us", "rss_kib", "rss_per_host",
                                                                  "idle_percent", "kept_percent", "cpu_us"))])
    print_table("Hosts held, without data strings (cpu in µs; idle: % of a processor, silent and with signs of life)",
                ["hosts", "registered/s", "cpu each", "RSS MiB", "bytes/host", "idle %", "alive %", "cpu/introduction"], rows)


def lobby(bench, quick):
    scenarios = {}
    for hosts in (1000,) if quick else (1000, 10000):
        for name, more in (("full", []), ("filtered to 20", ["--filter", "rare"]), ("limited to 20", ["--limit", 20])):
            scenarios["{:,} hosts, {}".format(hosts, name)] = [
                "--hosts", hosts, "--rare", 20, "--at-once", 4, "--lobbies", 50 if quick else 400, *more]
    rows = []
    for name, pair in bench.compare(scenarios).items():
        rows.append([name, pair[OURS]["list_bytes"], *(pair[server][figure] for figure in ("per_s", "cpu_us", "p99_us")
                                                       for server in (OURS, FLOOR)), ratio(pair, "cpu_us")])
    print_table("Lists of hosts, 4 at once, while nothing changes (cpu and p99 in µs)",
                ["list", "bytes", "per s", "floor", "cpu", "floor", "p99", "floor", "cpu ratio"], rows)


def pressure(bench, quick):
    hostile = 500 if quick else 6000
    scenarios = {"{:,} silent, {:,} half lines, 8 that never read".format(count, count) if count else "undisturbed": [
        "--hosts", 1000, "--hostile", count, "--introductions", 3000 if quick else 40000, "--at-once", 16]
        for count in (0, hostile)}
    rows = []
    for name, pair in bench.compare(scenarios).items():
        for server in (OURS, FLOOR):
            side = pair[server]
            rows.append(["%s, %s" % (name, server), side["p50_us"], side["p99_us"], side["p999_us"], side["cpu_us"],
                         side["end_rss_kib"] / 1024, side["reopened"]])
    print_table("Honest clients, 16 at once, beside hostile connections (µs; closed: hostile ones, which come back)",
                ["beside", "p50", "p99", "p99.9", "cpu/introduction", "RSS MiB", "closed"], rows)


# ---- the engine alone

COLORS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e")


def plot(path, panels):
    """An SVG; panels: (title, {name: {hosts: value}})."""
    width, height, left, top, below = 430, 260, 60, 40, 110
    out = ['<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="12">' % (
        (width + left + 20) * len(panels), height + top + below), '<rect width="100%" height="100%" fill="white"/>']
    for number, (title, lines) in enumerate(panels):
        x0 = number * (width + left + 20) + left
        hosts = sorted({h for line in lines.values() for h in line})
        highest = max(value for line in lines.values() for value in line.values()) * 1.1

        def x(value):
            span = math.log10(hosts[-1] / hosts[0]) or 1
            return x0 + width * math.log10(value / hosts[0]) / span

        def y(value):
            return top + height - height * value / highest
        out.append('<text x="%d" y="20" font-size="14">%s</text>' % (x0, title))
        for h in hosts:
            out.append('<text x="%.1f" y="%d" text-anchor="middle">%s</text>' % (x(h), top + height + 18, "{:,}".format(h)))
            out.append('<path d="M%.1f %dv%d" stroke="#ddd"/>' % (x(h), top, height))
        step = 10 ** math.floor(math.log10(highest / 2))
        step *= 5 if highest / step > 10 else 2 if highest / step > 4 else 1
        for tick in range(int(highest / step) + 1):
            out.append('<path d="M%d %.1fh%d" stroke="#ddd"/>' % (x0, y(tick * step), width))
            out.append('<text x="%d" y="%.1f" text-anchor="end">%s</text>' % (x0 - 6, y(tick * step) + 4,
                                                                              "{:,}".format(int(tick * step))))
        for place, (name, line) in enumerate(lines.items()):
            color = COLORS[place % len(COLORS)]
            points = " ".join("%.1f,%.1f" % (x(h), y(value)) for h, value in sorted(line.items()))
            out.append('<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>' % (points, color))
            out.append('<text x="%d" y="%d" fill="%s">%s</text>' % (
                x0 + place % 2 * width // 2, top + height + 44 + place // 2 * 18, color, name))
    out.append("</svg>")
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(out) + "\n")


def engine(bench, quick):
    if not os.path.exists(bench.path("micro")):
        return
    command = [bench.path("micro"), "--benchmark_format=json", "--benchmark_min_time=%g" % (0.02 if quick else 0.3),
               "--benchmark_repetitions=%d" % bench.rounds,
               "--benchmark_enable_random_interleaving=true"]  # a machine is slower for minutes: all have their part of that
    if quick:
        command.append("--benchmark_filter=-/1000000$")
    output = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True, text=True).stdout
    runs = {}
    for run in json.loads(output)["benchmarks"]:
        if run["run_type"] == "iteration":
            runs.setdefault(run["name"], []).append(run)
    rows, times, memory = [], {}, {}
    for name, repeated in runs.items():
        ns = statistics.median(run["cpu_time"] for run in repeated)
        operation, _, hosts = name.partition("/")
        operation = operation.replace("_", " ")
        rows.append([operation, "{:,}".format(int(hosts)) if hosts else "", ns,
                     repeated[0].get("allocations", ""), repeated[0].get("bytes_per_host", "")])
        if "bytes_per_host" in repeated[0]:
            times.setdefault(operation, {})[int(hosts)] = ns
            memory.setdefault("bytes per host", {})[int(hosts)] = repeated[0]["bytes_per_host"]
    rows.sort(key=lambda row: (int(row[1].replace(",", "") or 0), row[0]))
    print_table("The engine without sockets (ns of processor time)", ["operation", "hosts", "ns", "allocations", "bytes/host"],
                rows)
    plot(bench.path("growth.svg"), [("ns per operation, by registered hosts", times), ("memory of the engine", memory)])
    print("\nplot: %s" % bench.path("growth.svg"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", help=argparse.SUPPRESS)
    parser.add_argument("--quick", action="store_true", help="one short round: whether all works, no figures to quote")
    parser.add_argument("--rounds", type=int, help="default 5, with --quick 1")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    arguments = parser.parse_args()
    bench = Bench(arguments.build, arguments.rounds or (1 if arguments.quick else 5))
    for part in arguments.only:
        globals()[part](bench, arguments.quick)
    print("\n%d introductions checked, medians of %d, load average %.1f" % (bench.introductions, bench.rounds,
                                                                          os.getloadavg()[0]))
    return 1 if bench.faults else 0


if __name__ == "__main__":
    sys.exit(main())
