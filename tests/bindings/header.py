"""What gmpunch.h declares, read from its text: constants, structs and functions. The tests compare the compiled library and
each binding with it, so that none can drift.

usage: header.py functions                prints the names of all functions
       header.py older STRUCT.FIELD...    prints the declarations as of a time when these were the last fields
"""
import pathlib
import re
import sys

PATH = pathlib.Path(__file__).resolve().parents[2] / "gmpunch.h"

CONSTANT = re.compile(r"^#define (GMPUNCH_(?!API\b)\w+) +\S|\b(GMPUNCH_\w+) = -?\d+", re.M)
STRUCT = re.compile(r"^typedef struct (\w+) \{\n(.*?)^\} \1;", re.S | re.M)
FIELD = re.compile(r"\s*([^;]*?)(?:\(\*(\w+)\)\([^;]*\)|(\w+)(\[\w+\])?);")  # a function pointer, or name[count]
FUNCTION = re.compile(r"^GMPUNCH_API ([^;()]*?)(gmpunch_\w+)\(([^()]*)\);", re.M)


def declarations():
    """The text above the implementation, without comments."""
    text = PATH.read_text(encoding="utf-8")
    text = text[: text.index("/* ====", text.index("#endif /* GMPUNCH_INCLUDED */"))]
    return re.sub(r"/\*.*?\*/", " ", text, flags=re.S)


TEXT = declarations()

CONSTANTS = [macro or enumerator for macro, enumerator in CONSTANT.findall(TEXT)]
# name: {field: type}, with * for a function pointer and [count] for an array
STRUCTS = {name: {pointer or plain: "*" if pointer else kind + array for kind, pointer, plain, array in FIELD.findall(body)}
           for name, body in STRUCT.findall(TEXT)}
# name: (type of the result, types of the parameters)
FUNCTIONS = {name: (result.strip(), [re.sub(r"\w+$", "", parameter).strip() for parameter in parameters.split(",")
                                     if parameter != "void"])
             for result, name, parameters in FUNCTION.findall(TEXT)}

# A change of style that is not understood here must not pass for a shorter header.
assert len(CONSTANTS) == len(set(CONSTANTS)) > 100
assert len(STRUCTS) == len(re.findall(r"^typedef struct \w+ \{", TEXT, re.M)) > 10
assert all(len(STRUCTS[name]) == body.count(";") for name, body in STRUCT.findall(TEXT))
assert len(FUNCTIONS) == len(re.findall(r"^GMPUNCH_API ", TEXT, re.M)) > 100


def older(text, last):
    struct, field = last.split(".")
    assert field in STRUCTS[struct], last
    return re.sub(r"(^typedef struct %s \{\n.*?\b%s(?:\[\w+\])?;).*?(^\} %s;)" % (struct, field, struct), r"\1\n\2", text,
                  flags=re.S | re.M)


if __name__ == "__main__":
    if sys.argv[1:] == ["functions"]:
        print("\n".join(sorted(FUNCTIONS)))
    elif sys.argv[1:2] == ["older"]:
        for argument in sys.argv[2:]:
            TEXT = older(TEXT, argument)
        print(TEXT)
    else:
        sys.exit(__doc__)
