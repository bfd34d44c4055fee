"""Compares what a binding declares with C: size of each struct, offset and size of each field, value of each constant, result
and parameters of each function. What C has and the binding has not is in UNBOUND, on purpose.

usage: layout.py WORK_DIRECTORY ctypes | koffi | luajit  COMMAND...

The command prints lines of "struct NAME SIZE", "field STRUCT.NAME OFFSET TYPE", "constant NAME VALUE" and "function NAME
TYPE_OF_RESULT TYPE_OF_PARAMETER...". A type is like i4, u8, pointer or void, or the size of a struct or array. C prints the
same, compiled from what header.py finds.
"""
import os
import pathlib
import re
import subprocess
import sys

sys.dont_write_bytecode = True
import header  # noqa: E402

# What a binding leaves out, and why. Regular expressions for whole names.
SANS_IO = [  # for an event loop that does all I/O; languages have _open, _poll and, where it helps, _waits
    r"gmpunch_\w+_(create|memory_size|set_master|input_udp|tcp_\w+|tick|next_transmit|next_event|set_unix_time)",
    r"gmpunch_transmit(\.\w+)?", r"GMPUNCH_TRANSMIT_\w+", r"GMPUNCH_NOT_MINE", r"GMPUNCH_CONSUMED"]
DATAGRAMS = [r"gmpunch_datagram_\w+", r"GMPUNCH_DATAGRAM_\w+"]  # for _input_udp
BUFFERS = [r"gmpunch_buffer(\.\w+|_\w+)?"]  # struct of Python, DataView of JavaScript
COMPARING = [r"gmpunch_address_(equal|same_ip)"]  # addresses are values of the language
LOGGING = [r"gmpunch_log_stderr"]  # functions of the language
CLOCK = [r"gmpunch_now_us"]
VERSIONS = [r"GMPUNCH_VERSION(_\w+)?", r"GMPUNCH_\w+_PROTOCOL_VERSION"]  # of the header; gmpunch_version is the library's
WAITING = [  # Node.js can't wait on foreign descriptors
    r"gmpunch_wait(\.\w+)?", r"GMPUNCH_WAIT_\w+", r"gmpunch_\w+_(waits|next_deadline|socket)"]

COMMON = SANS_IO + DATAGRAMS + BUFFERS + COMPARING + LOGGING + CLOCK + VERSIONS
UNBOUND = {
    "ctypes": COMMON,
    "koffi": COMMON + WAITING,
    # It reads the header; only macros that are no numbers are left out.
    "luajit": [r"GMPUNCH_VERSION(_STRING)?", r"GMPUNCH_\w+_PROTOCOL_VERSION"],
}

KINDS = {"void": "void", "float": "f4", "double": "f8", "size_t": "u%u", "uintptr_t": "u%u",
         **{"%sint%d_t" % (sign, bits): "%s%d" % ("u" if sign else "i", bits // 8)
            for sign in ("", "u") for bits in (8, 16, 32, 64)}}


def kind(name):
    """With %u for a size that C has to tell."""
    if name.endswith("]"):
        return "%u"
    if "*" in name or name.strip() == "gmpunch_log_function":
        return "pointer"
    return KINDS.get(name.strip(), "%u")


def compiled(work):
    """Names and values as C has them: {("field", "gmpunch_event.peer"): "20 4"}."""
    lines = []
    for struct, fields in header.STRUCTS.items():
        lines.append('printf("struct %s %%u\\n", SIZE(sizeof(%s)));' % (struct, struct))
        for field, name in fields.items():
            size = ", SIZE(sizeof((*(%s *)0).%s))" % (struct, field) if "%u" in kind(name) else ""
            lines.append('printf("field %s.%s %%u %s\\n", SIZE(offsetof(%s, %s))%s);' % (
                struct, field, kind(name), struct, field, size))
    for constant in header.CONSTANTS:
        if re.search(r'#define %s +"' % constant, header.TEXT):
            lines.append('printf("constant %s %%s\\n", %s);' % (constant, constant))
        else:
            lines.append('printf("constant %s %%lld\\n", (long long)%s);' % (constant, constant))
    for name, (result, parameters) in header.FUNCTIONS.items():
        kinds = " ".join(map(kind, [result] + parameters))
        sizes = ", SIZE(sizeof(size_t))" * kinds.count("%u")
        lines.append('printf("function %s %s\\n"%s);' % (name, kinds, sizes))
    work.mkdir(parents=True, exist_ok=True)
    source = work / "layout.c"
    source.write_text('#include "gmpunch.h"\n#include <stdio.h>\n#define SIZE(x) ((unsigned)(x))\nint main(void) {\n    %s\n'
                      "    return 0;\n}\n" % "\n    ".join(lines))
    compiler = os.environ.get("CC", "cc")
    subprocess.run([compiler, "-I", str(header.PATH.parent), str(source), "-o", str(work / "layout")], check=True)
    return parsed(subprocess.run([str(work / "layout")], check=True, stdout=subprocess.PIPE, text=True).stdout)


def parsed(text):
    values = {}
    for line in text.splitlines():
        what, name, *value = line.split()
        assert (what, name) not in values, line
        values[what, name] = " ".join(value)
    return values


def main(work, binding, *command):
    expected = compiled(pathlib.Path(work))
    unbound = re.compile("|".join(UNBOUND[binding]))
    names = [(what, name) for what, name in expected if not unbound.fullmatch(name)]
    lines = "".join("%s %s\n" % name for name in names)
    found = parsed(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, input=lines).stdout)
    if binding == "luajit":  # has the header's own text, and can't tell types
        expected = {key: {"function": "", "field": value.split()[0]}.get(key[0], value) for key, value in expected.items()}
    errors = ["%s: %s %s is not bound, nor in UNBOUND" % (binding, *key) for key in names if key not in found]
    errors += ["%s: %s %s is no declaration of gmpunch.h" % (binding, *key) for key in found if key not in expected]
    errors += ["%s: %s %s is in UNBOUND, but bound" % (binding, *key) for key in found if unbound.fullmatch(key[1])]
    errors += ["%s: %s %s: %s, but C has %s" % (binding, *key, found[key], expected[key])
               for key in names if key in found and found[key] != expected[key]]
    errors += ["%s: nothing is %s" % (binding, pattern) for pattern in UNBOUND[binding]
               if not any(re.fullmatch(pattern, name) for _, name in expected)]
    print("\n".join(errors + ["%s: %d declarations compared, %d of C not bound, %d errors" % (
        binding, len(found), len(expected) - len(names), len(errors))]))
    return 1 if errors or len(found) < 300 else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]) if len(sys.argv) > 3 else __doc__)
