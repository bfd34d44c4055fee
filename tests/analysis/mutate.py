#!/usr/bin/env python3
"""Breaks gmpunch.h in small ways, one at a time, and reports how many of them the unit tests notice.

A mutant is a changed function: another comparison, operator, constant or returned value, a condition the other way round, a
statement left out. Each runs the test cases that reach the changed line, quick ones first, and is noticed if one fails,
crashes or does not end; what survives runs the quick ones again with AddressSanitizer and UndefinedBehaviorSanitizer, as
the tests have them, then test_faults.cpp, which has a library of its own, and where it may differ both this and
test_sockets.cpp with the library for systems that have only poll. Not counted: what does not compile, what compiles to the
same code, and what equivalents.txt names, with the reason why nobody can tell the difference. Exit code 1 if less than 90 %
are noticed.
"""
import argparse
import concurrent.futures
import hashlib
import json
import os
import pathlib
import random
import re
import resource
import shutil
import subprocess
import sys
import time

import split

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
WORK = ROOT / "build" / "analysis" / "mutate"
REQUIRED = 0.9

SWAPS = {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "==", "&&": "||", "||": "&&", "+": "-", "-": "+",
         "+=": "-=", "-=": "+=", "&": "|", "|": "&", "<<": ">>", ">>": "<<"}
DECLARATION = re.compile(r"^ *(?:(?:static|const|struct) )*(?!return\b|goto\b|else\b)\w+ [^=;()]*;$", re.M)  # without a value
KIND = {"<": "comparison", "=": "comparison", ">": "comparison", "!": "comparison", "&": "logic", "|": "logic",
        "+": "arithmetic", "-": "arithmetic"}
CONTROL = re.compile(r"\b(?:if|for|while) \(")
STATEMENT = re.compile(r"\s*((?!(?:return|break|case|default|if|else|for|while|do|switch|goto)\b|\(void\)|"
                       r"(?:static|const|struct|char|int|float|double|void|size_t|\w+_t|gmpunchi?_\w+) \*?\w)"
                       r"[\w*(+-][^;{}]*;)")


# ---- what can be changed

def masked(text):
    """The text with blanks for comments, directives and assertions and dots for strings: nothing is to be found in them."""
    pattern = re.compile(r'/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'|^#(?:[^\n]*\\\n)*[^\n]*$|'
                         r'GMPUNCH_ASSERT\([^\n]*\);', re.S | re.M)
    return DECLARATION.sub(blank, pattern.sub(blank, text))


def blank(match):
    return re.sub(r"[^\n]", "." if match.group()[0] in "\"'" else " ", match.group())


def condition_end(code, start):
    depth = 0
    for at in range(start, len(code)):
        depth += {"(": 1, ")": -1}.get(code[at], 0)
        if depth == 0:
            return at + 1
    raise ValueError(code[start:start + 80])


def changes(code, start, end):
    """(kind, start, end, replacement) of everything that can be changed in the function at start to end."""
    def found(pattern):
        return re.compile(pattern, re.M).finditer(code, start, end)

    for match in found(r"(?<= )(<=?|>=?|==|!=|&&|\|\||<<|>>|[-+]=?|&|\|)(?=[ \n])"):
        old = match.group()
        kind = "logic" if old in ("&&", "||") else "bits" if old in ("&", "|", "<<", ">>") else KIND[old[0]]
        yield kind, match.start(), match.end(), SWAPS[old]
    for match in found(r"(?<![\w.])(0x[0-9a-fA-F]+|\d+)u?(?![\w.])"):
        value = int(match.group(1), 0)
        at = match.start()
        flag = code.endswith(" = ", start, at) and code.startswith("1;", at)  # it is only asked whether it is 0
        for other in (value - 1,) if flag else (value + 1, value - 1):
            if other >= 0:
                yield "constant", match.start(1), match.end(1), hex(other) if "x" in match.group() else str(other)
    for match in found(r"\b(?:if|while) \("):
        close = condition_end(code, match.end() - 1)
        yield "condition", match.end() - 1, close, "(!" + code[match.end() - 1:close] + ")"
    starts = [match.end() for match in found(r"[;{}]$|\belse\b|(?:case [^:]*|default):")]
    starts += [condition_end(code, match.end() - 1) for match in CONTROL.finditer(code, start, end)]
    for match in filter(None, (STATEMENT.match(code, at, end) for at in starts)):
        yield "statement", match.start(1), match.end(1), ";"
    for match in found(r"\breturn ([^;]+);"):
        value = match.group(1)
        yield "return", match.start(1), match.end(1), "1" if value in ("0", "NULL", "GMPUNCH_OK") else "0"


class Mutant:
    def __init__(self, text, function, room, change):
        self.kind, start, end, new = change
        if self.kind == "condition":  # from the text as it is, not masked
            new = "(!" + text[start:end] + ")"
        self.function, self.room, self.text = function, room, text[:start] + new + text[end:]
        self.lines = range(text.count("\n", 0, start) + 1, text.count("\n", 0, end) + 2)
        first, last = text.rfind("\n", 0, start) + 1, text.index("\n", end)
        self.old, self.new = (" ".join(part.split()) for part in (text[first:last], text[first:start] + new + text[end:last]))

    def __str__(self):
        return f"gmpunch.h:{self.lines[0]} {self.function} ({self.kind})\n    - {self.old}\n    + {self.new}"


def choose(text, chance, only):
    """All mutants in the order in which they are tried: rooms by their size, in each room the kinds in turn."""
    code, queues = masked(text), []
    functions = split.functions(text)
    for room, start, end in split.rooms(text):
        if only and room not in only:
            continue
        kinds = {}
        for function in functions:
            if start <= function.start() < end:
                for change in changes(code, function.end(1), function.end()):
                    kinds.setdefault(change[0], []).append((function.group(2), change))
        for sites in kinds.values():
            chance.shuffle(sites)
        order = []
        while any(kinds.values()):
            for sites in kinds.values():
                if sites:
                    order.append(sites.pop())
        size = text.count("\n", start, end)
        queues += [((index + 0.5) / max(size, 150), room, *site) for index, site in enumerate(order)]
    queues.sort(key=lambda entry: entry[0])
    for _, room, function, change in queues:
        yield Mutant(text, function, room, change)


# ---- which test case reaches which line

def run(command, **options):
    return subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)


def checked(command):
    result = run(command)
    if result.returncode:
        sys.exit(result.stdout.decode(errors="replace") + f"failed: {command}")
    return result.stdout.decode(errors="replace")


def test_filter(names):
    """The names as doctest's wildcards: a comma would begin another."""
    return "--test-case=" + ",".join(re.sub(r"[^A-Za-z0-9 _.:+=/-]+", "*", name) for name in names)


def reach_of(test):
    """The seconds a test case takes, and the lines that it reaches."""
    number, name = test
    data = WORK / "reach" / str(number)
    data.mkdir(parents=True, exist_ok=True)
    begin = time.monotonic()
    strip = len((WORK / "coverage").resolve().parts) - 1
    result = run([WORK / "coverage" / "unit", test_filter([name])],
                 env=dict(os.environ, GCOV_PREFIX=str(data), GCOV_PREFIX_STRIP=str(strip)))
    seconds = time.monotonic() - begin
    if result.returncode:
        sys.exit(result.stdout.decode(errors="replace") + f"fails with nothing changed: {name}")
    notes = data / "library.gcno"
    notes.unlink(missing_ok=True)
    notes.symlink_to(WORK / "coverage" / "library.gcno")
    report = json.loads(subprocess.run(["gcov", "--json-format", "--stdout", "library.gcda"], cwd=data, check=True,
                                       capture_output=True).stdout)
    lines = [line["line_number"] for file in report["files"] if file["file"].endswith("gmpunch.h")
             for line in file["lines"] if line["count"]]
    return name, seconds, lines


def reach(jobs):
    """{test case: (seconds, lines)}, kept for the next run with the same sources."""
    sources = [split.HEADER, ROOT / "gmpunch.hpp", *sorted(ROOT.glob("tests/unit/*")), *sorted(ROOT.glob("tests/sim/*"))]
    key = hashlib.sha256(b"".join(source.read_bytes() for source in sources if source.is_file())).hexdigest()
    kept = WORK / "reach.json"
    if kept.exists():
        table = json.loads(kept.read_text())
        if table["key"] == key:
            return {name: (seconds, set(lines)) for name, (seconds, lines) in table["tests"].items()}
    listing = checked([WORK / "coverage" / "unit", "--list-test-cases"])
    names = [line for line in listing.splitlines() if line and not line.startswith(("[doctest]", "==="))]
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        found = list(pool.map(reach_of, enumerate(names)))
    poll = WORK / "poll"
    poll.mkdir(exist_ok=True)
    (poll / f"{POLL_TESTS}.cpp").write_text(f'#define GMPUNCH_POLL_ONLY\n#include "{WORK}/tests/declarations.h"\n'
                                            f'#include "{ROOT}/tests/unit/{POLL_TESTS}.cpp"\n')
    checked(["g++", "-std=c++17", "-w", "-O0", "-DDOCTEST_CONFIG_USE_STD_HEADERS", "-c", "-o", poll / f"{POLL_TESTS}.o",
             poll / f"{POLL_TESTS}.cpp"])
    by = last_stages(WORK / "same", split.HEADER.read_text(), POLL_ROOMS[0])
    if by:
        sys.exit(f"fails with nothing changed: {by}")
    kept.write_text(json.dumps({"key": key, "tests": {name: (seconds, lines) for name, seconds, lines in found}}))
    return {name: (seconds, set(lines)) for name, seconds, lines in found}


def batches(tests, lines):
    """The test cases that reach one of the lines, quick ones first: [(names, seconds)]."""
    batch, total, limit = [], 0.0, 0.2
    for seconds, name in sorted((seconds, name) for name, (seconds, reached) in tests.items() if reached & set(lines)):
        if batch and total + seconds > limit:
            yield batch, total
            batch, total, limit = [], 0.0, limit * 4
        batch.append(name)
        total += seconds
    if batch:
        yield batch, total


# ---- whether a mutant is noticed

POLL = "-DGMPUNCH_POLL_ONLY"  # the library for systems that have only poll
POLL_ROOMS = ("sockets", "drive")  # that differ there
POLL_TESTS = "test_sockets"  # they know the difference, so they are compiled for it too
SANITIZED_SECONDS = 1.0  # longer batches run without sanitizers only
FAULTS = ["tests/unit/test_faults.cpp", "tests/sim/faulty_sockets.hpp", "tests/unit/gmpunch_internal.hpp"]
OWN_SECONDS = 120  # that the tests of poll, and those of faults, may take
SANITIZE = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]


def compile_library(place, flags, name):
    return run(["gcc", "-std=c99", "-w", *flags, "-c", "-o", place / name, place / "library.c"]).returncode == 0


def outcome(program, arguments, limit):
    """The test case that fails, or "" if none does within so many seconds of processor time."""
    def bound():
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    try:
        result = run([program, "--abort-after=1", "--no-colors", *arguments], preexec_fn=bound, timeout=30 + 4 * limit)
    except subprocess.TimeoutExpired:
        return "does not end"
    if result.returncode < 0:
        return f"signal {-result.returncode}"
    if result.returncode:
        failed = re.search(r"TEST CASE: *(.*)", result.stdout.decode(errors="replace"))
        return failed.group(1) if failed else f"exit code {result.returncode}"
    return ""


def link(place, flags, tests):
    checked(["g++", *flags, "-o", place / "unit", place / "library.o", *tests])


def test_objects():
    return [path for path in sorted((WORK / "tests").glob("*.o")) if path.name != "library.o"]


def noticed_by(place, flags, tests, mutant):
    """The test case that fails, or "" if none does."""
    link(place, flags, test_objects())
    for names, seconds in batches(tests, mutant.lines):
        if flags and seconds > SANITIZED_SECONDS:
            break
        by = outcome(place / "unit", [test_filter(names)], int(5 + 10 * seconds) * (4 if flags else 1))
        if by:
            return by
    return ""


def poll_notices(place):
    """The same of the tests of sockets, with the library for systems that have only poll."""
    compile_library(place, ["-O0", POLL], "library.o")
    link(place, [], [WORK / "poll" / f"{POLL_TESTS}.o", WORK / "tests" / "main.o"])
    return outcome(place / "unit", [], OWN_SECONDS)


def faults_notice(place, text, flags):
    """The same of test_faults.cpp: it comes last, as it takes so long to compile."""
    for name in FAULTS:
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, place / name)
    (place / "gmpunch.h").write_text(text)
    checked(["g++", "-std=c++17", "-w", "-O0", *flags, "-DDOCTEST_CONFIG_USE_STD_HEADERS", "-o", place / "unit",
             place / FAULTS[0], WORK / "tests" / "main.o"])
    return outcome(place / "unit", [], OWN_SECONDS)


def last_stages(place, text, room):
    """What notices a mutant that all others let live; on the unchanged text nothing may."""
    by = faults_notice(place, text, [])
    if not by and room in POLL_ROOMS:
        by = poll_notices(place) or faults_notice(place, text, [POLL])
    return by


def try_mutant(job):
    """(mutant, verdict, detail): "failed to compile", "same code", "equivalent", "noticed" or "survived"."""
    number, mutant, tests, equivalents = job
    place = WORK / "mutants" / str(number)
    place.mkdir(parents=True, exist_ok=True)
    (place / "library.c").write_text(split.library(mutant.text))
    try:
        if not compile_library(place, ["-O0"], "library.o"):
            return mutant, "failed to compile", ""
        if (place / "library.o").read_bytes() == (WORK / "same" / "library.o").read_bytes():
            return mutant, "same code", ""
        if (mutant.function, mutant.old, mutant.new) in equivalents:
            return mutant, "equivalent", equivalents[mutant.function, mutant.old, mutant.new]
        by = noticed_by(place, [], tests, mutant)
        if not by:
            compile_library(place, ["-O2"], "optimized.o")
            if (place / "optimized.o").read_bytes() == (WORK / "same" / "optimized.o").read_bytes():
                return mutant, "same code", ""
            compile_library(place, ["-O0", *SANITIZE], "library.o")
            by = noticed_by(place, SANITIZE, tests, mutant)
        if not by:
            by = last_stages(place, mutant.text, mutant.room)
        return mutant, "noticed" if by else "survived", by
    finally:
        shutil.rmtree(place)


def read_equivalents():
    """equivalents.txt: paragraphs of four lines: function, "- " old line, "+ " new line, reason."""
    table = {}
    path = HERE / "equivalents.txt"
    for paragraph in path.read_text().split("\n\n") if path.exists() else []:
        lines = [line for line in paragraph.splitlines() if not line.startswith("#")]
        if lines:
            function, old, new, reason = lines[0], lines[1], lines[2], " ".join(lines[3:])
            table[function, old[2:], new[2:]] = reason
    return table


def build(name, jobs):
    (WORK / name).mkdir(parents=True, exist_ok=True)
    checked([sys.executable, HERE / "split.py", WORK / name])
    checked(["make", f"-j{jobs}", "-f", HERE / "unit.mk", f"OUT={WORK / name}", "CC=gcc", "CXX=g++", "FLAGS=-O0",
             "LIBRARY_FLAGS=-w"])


def prepare(text, jobs):
    build("tests", jobs)
    coverage = WORK / "coverage"
    coverage.mkdir(exist_ok=True)
    (coverage / "library.c").write_text(split.library(text))
    checked(["gcc", "-std=c99", "-w", "-O0", "--coverage", "-c", "-o", coverage / "library.o", coverage / "library.c"])
    checked(["g++", "--coverage", "-o", coverage / "unit", coverage / "library.o", *test_objects()])
    same = WORK / "same"
    same.mkdir(exist_ok=True)
    (same / "library.c").write_text(split.library(text))
    for flags, name in ((["-O0"], "library.o"), (["-O2"], "optimized.o")):
        if not compile_library(same, flags, name):
            sys.exit("gmpunch.h does not compile")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1, help="another seed chooses other mutants (default 1)")
    parser.add_argument("--count", type=int, default=200, help="how many mutants (default 200)")
    parser.add_argument("--rooms", nargs="+", default=[], help="only mutants in these rooms of gmpunch.h")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--verbose", action="store_true", help="also prints what was noticed, and by which test case")
    arguments = parser.parse_args()

    text, begin = split.HEADER.read_text(), time.monotonic()
    prepare(text, arguments.jobs)
    tests = reach(arguments.jobs)
    equivalents = read_equivalents()
    print(f"{len(tests)} test cases, seed {arguments.seed}, prepared in {time.monotonic() - begin:.0f} s", flush=True)

    counts, by_room, survivors, begin = {}, {}, [], time.monotonic()
    candidates = enumerate(choose(text, random.Random(arguments.seed), arguments.rooms))
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        running = set()
        while True:
            decided = counts.get("noticed", 0) + counts.get("survived", 0)
            while len(running) < min(arguments.jobs, arguments.count - decided):
                number, mutant = next(candidates)
                running.add(pool.submit(try_mutant, (number, mutant, tests, equivalents)))
            if not running:
                break
            done, running = concurrent.futures.wait(running, return_when=concurrent.futures.FIRST_COMPLETED)
            for future in done:
                mutant, verdict, detail = future.result()
                if sys.stderr.isatty():
                    print(f"\r{decided} of {arguments.count} ", end="", file=sys.stderr, flush=True)
                counts[verdict] = counts.get(verdict, 0) + 1
                if verdict in ("noticed", "survived"):
                    room = by_room.setdefault(mutant.room, [0, 0])
                    room[0] += verdict == "noticed"
                    room[1] += 1
                if verdict == "survived":
                    survivors.append(mutant)
                if verdict == "survived" or arguments.verbose:
                    print(f"{verdict}: {mutant}" + (f"\n    {detail}" if detail else ""), flush=True)

    print("\nnoticed by room:", ", ".join(f"{room} {good} of {all_}" for room, (good, all_) in by_room.items()))
    print("not counted:", ", ".join(f"{counts.get(verdict, 0)} {verdict}" for verdict in
                                    ("failed to compile", "same code", "equivalent")))
    decided = counts.get("noticed", 0) + counts.get("survived", 0)
    share = (decided - len(survivors)) / decided
    print(f"{time.monotonic() - begin:.0f} s; {decided} mutants, {decided - len(survivors)} noticed, "
          f"{len(survivors)} survived: "
          f"{100 * share:.1f} % (required: {100 * REQUIRED:.0f} %)")
    return 0 if share >= REQUIRED else 1


if __name__ == "__main__":
    sys.exit(main())
