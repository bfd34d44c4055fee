#!/usr/bin/env python3
"""Splits gmpunch.h: split.py DIRECTORY writes library.c, declarations.h, and ROOM.c for each of its rooms.

library.c is the implementation with its private functions visible; declarations.h is gmpunch.h without the bodies of its
functions. Test files that include declarations.h first (-include) share one library instead of each having its own: coverage
counts each line once, and a changed library is one file to compile. ROOM.c has the bodies of one room only, for what is too
slow for the whole. Line numbers are those of gmpunch.h.
"""
import pathlib
import re
import sys

HEADER = pathlib.Path(__file__).resolve().parents[2] / "gmpunch.h"
# A function begins at the first column, and its parentheses are followed by a brace; its body ends with the first brace at
# the first column, or on the same line. (clang-format sees to that.)
FUNCTION = re.compile(r"^((?:GMPUNCHI_FN |[a-z])[\w *]*?\b(gmpunchi?_\w+)\([^;{}]*?\)) (?:\{ .* \}|\{\n(?:.*\n)*?\})$", re.M)
PRIVATE = re.compile(r"^#define GMPUNCHI_FN .*$", re.M)


def functions(text):
    """The functions of the implementation: matches whose groups are the declaration and the name."""
    return list(FUNCTION.finditer(text, text.index("#define GMPUNCH_IMPLEMENTATION_DONE")))


def rooms(text):
    """The rooms of the implementation, as its comments divide it: name, start, end."""
    base = text.index("#define GMPUNCH_IMPLEMENTATION_DONE")
    marks = list(re.compile(r"^/\* >>(\w+) =+ \*/$", re.M).finditer(text, base))
    return [(mark.group(1), mark.start(), following.start() if following else len(text))
            for mark, following in zip(marks, [*marks[1:], None])]


def library(text):
    return f'#define GMPUNCH_IMPLEMENTATION\n#line 1 "{HEADER}"\n' + PRIVATE.sub("#define GMPUNCHI_FN", text)


def declarations(text, room=(None, 0, 0)):
    """Without the bodies of the functions, but those of the room."""
    parts, end = [f'#define GMPUNCH_IMPLEMENTATION\n#line 1 "{HEADER}"\n'], 0
    for function in functions(text):
        if room[1] <= function.start() < room[2]:
            continue
        lines = text.count("\n", function.end(1), function.end())
        parts += [text[end:function.start()], function.group(1), ";", "\n" * lines]
        end = function.end()
    return PRIVATE.sub("#define GMPUNCHI_FN extern", "".join(parts) + text[end:])


def write(path, text):
    """Leaves an unchanged file as old as it is, so that nothing is built again."""
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


if __name__ == "__main__":
    DIRECTORY = pathlib.Path(sys.argv[1])
    TEXT = HEADER.read_text()
    write(DIRECTORY / "library.c", library(TEXT))
    write(DIRECTORY / "declarations.h", declarations(TEXT))
    for ROOM in rooms(TEXT):
        write(DIRECTORY / f"{ROOM[0]}.c", declarations(TEXT, ROOM))
