#!/usr/bin/env python3
"""Splits gmpunch.h into DIRECTORY/library.c and DIRECTORY/declarations.h: split.py DIRECTORY

library.c is the implementation with its private functions visible; declarations.h is gmpunch.h without the bodies of its
functions. Test files that include declarations.h first (-include) share one library instead of each having its own: coverage
counts each line once, and a changed library is one file to compile.
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


def library(text):
    return f'#define GMPUNCH_IMPLEMENTATION\n#line 1 "{HEADER}"\n' + PRIVATE.sub("#define GMPUNCHI_FN", text)


def declarations(text):
    parts, end = ["#define GMPUNCH_IMPLEMENTATION\n"], 0
    for function in functions(text):
        parts += [text[end:function.start()], function.group(1), ";"]
        end = function.end()
    return PRIVATE.sub("#define GMPUNCHI_FN extern", "".join(parts) + text[end:])


def write(path, text):
    """Leaves an unchanged file as old as it is, so that nothing is built again."""
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


if __name__ == "__main__":
    DIRECTORY = pathlib.Path(sys.argv[1])
    write(DIRECTORY / "library.c", library(HEADER.read_text()))
    write(DIRECTORY / "declarations.h", declarations(HEADER.read_text()))
