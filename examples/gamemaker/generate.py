#!/usr/bin/env python3
"""Makes extensions/gmpunch/gmpunch.yy from gmpunch_gm.c and gmpunch.h, so that what GameMaker calls is what is there.

    generate.py            writes it
    generate.py --check    exit code 1 if it is not what would be written
"""
import json
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
HEADER = os.path.join(HERE, "..", "..", "gmpunch.h")
SOURCE = os.path.join(HERE, "gmpunch_gm.c")
EXTENSION = os.path.join(HERE, "extensions", "gmpunch", "gmpunch.yy")
PREFIX = "gmpunch_gm_"

# Bits of copyToTargets and numbers of TargetMask.
MAC, WINDOWS, LINUX = 1, 6, 7
DESKTOP = 1 << MAC | 1 << WINDOWS | 1 << LINUX
LIBRARIES = [("gmpunch_x64.dll", WINDOWS), ("libgmpunch.so", LINUX), ("libgmpunch.dylib", MAC)]  # and gmpunch.dll

CONSTANTS = r"GMPUNCH_(?:EVENT|REASON|STAGE|HOW|TRANSMIT|ERR|KIND|INPUT|LOG(?!_ITEM|_LINES|_SIZE)|NEVER|LIMIT_NONE|SORT_DATE|KNOCK"
CONSTANTS += r"|DEFAULT_PORT|MAX_PACKET)\w*"


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def exported():
    """The functions of gmpunch_gm.c: (name in GameMaker, comment, [(parameter, is text)], result is text)."""
    pattern = r"/\*((?:[^*]|\*(?!/))*)\*/\nGM_EXPORT (double|const char \*)\s*(\w+)\(([^)]*)\)"
    source = read(SOURCE)
    found = []
    for comment, result, name, parameters in re.findall(pattern, source):
        if not name.startswith(PREFIX):
            raise SystemExit("%s does not begin with %s" % (name, PREFIX))
        arguments = []
        for parameter in parameters.split(",") if parameters != "void" else []:
            kind, argument = re.fullmatch(r"\s*(double|const char|char) (\*?\w+)", parameter).groups()
            if (kind == "double") == argument.startswith("*"):
                raise SystemExit("%s: neither a double nor a string: %s" % (name, parameter))
            arguments.append((argument.lstrip("*"), kind != "double"))
        texts = sum(is_text for _, is_text in arguments)
        if len(arguments) > (3 if texts else 16):
            raise SystemExit("%s: too many arguments for GameMaker" % name)
        found.append(("gmpunch_" + name[len(PREFIX):], " ".join(comment.split()), arguments, result != "double"))
    if len(found) != len(re.findall(r"^GM_EXPORT", source, re.M)):
        raise SystemExit("an exported function has no comment")
    return found


def constants():
    """Name and value of what a game compares with."""
    found = {}
    for path in (HEADER, SOURCE):
        text = re.sub(r"/\*.*?\*/", "", read(path).split("#define GMPUNCH_IMPLEMENTATION_DONE")[0], flags=re.S)
        for name, value in re.findall(r"^#define (%s) (\w+) *$" % CONSTANTS, text, re.M):
            found[name] = str(int(value.rstrip("u"), 0))
        for body in re.findall(r"enum \{(.*?)\}", text, re.S):
            found.update(re.findall(r"(%s) = (-?\d+)" % CONSTANTS, body))
    return found


def documentation(comment, arguments, result_is_text):
    types = ["Pointer" if name == "memory" else "String" if is_text else "Real" for name, is_text in arguments]
    lines = ["/// @description " + comment]
    lines += ["/// @param {%s} %s" % (kind, name) for kind, (name, _) in zip(types, arguments)]
    lines.append("/// @returns {%s}" % ("String" if result_is_text else "Real"))
    return "\n".join(lines)


def resource(resource_type, name, version="", **fields):
    return dict({"$" + resource_type: version, "%Name": name, "name": name, "resourceType": resource_type,
                 "resourceVersion": "2.0"}, **fields)


def function(name, comment, arguments, result_is_text):
    return resource(
        "GMExtensionFunction", name, argCount=len(arguments), args=[1 if is_text else 2 for _, is_text in arguments],
        documentation=documentation(comment, arguments, result_is_text), externalName=name.replace("gmpunch_", PREFIX, 1),
        help="%s(%s)" % (name, ", ".join(argument for argument, _ in arguments)), hidden=False, kind=1,
        returnType=1 if result_is_text else 2)


def extension():
    version = ".".join(re.findall(r"#define GMPUNCH_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)", read(HEADER)))
    library = resource(
        "GMExtensionFile", "gmpunch.dll", "v1",
        constants=[resource("GMExtensionConstant", name, hidden=False, value=value) for name, value in constants().items()],
        copyToTargets=DESKTOP, filename="gmpunch.dll", final="", functions=[function(*f) for f in exported()], init="", kind=1,
        origname="", ProxyFiles=[resource("GMProxyFile", name, TargetMask=mask) for name, mask in LIBRARIES],
        uncompress=False, usesRunnerInterface=False)
    empty = """androidactivityinject androidclassname androidcodeinjection androidinject androidmanifestinject androidsourcedir author
        classname gradleinject helpfile HTML5CodeInjection installdir iosCocoaPodDependencies iosCocoaPods ioscodeinjection
        iosdelegatename iosplistinject maccompilerflags maclinkerflags macsourcedir packageId productId sourcedir
        tvosclassname tvosCocoaPodDependencies tvosCocoaPods tvoscodeinjection tvosdelegatename tvosmaccompilerflags
        tvosmaclinkerflags tvosplistinject"""
    lists = """androidPermissions IncludedResources iosSystemFrameworkEntries iosThirdPartyFrameworkEntries options
        tvosSystemFrameworkEntries tvosThirdPartyFrameworkEntries"""
    fields = dict.fromkeys(empty.split(), "")
    fields.update((name, []) for name in lists.split())
    fields.update(dict.fromkeys("androidProps html5Props iosProps tvosProps".split(), False))
    return resource(
        "GMExtension", "gmpunch", copyToTargets=DESKTOP, description="UDP hole punching, GMnet PUNCH and GATE.PUNCH protocol",
        exportToGame=True, extensionVersion=version, files=[library], hasConvertedCodeInjection=True, license="MIT",
        optionsFile="options.json", parent={"name": "gmpunch", "path": "folders/gmpunch.yy"}, supportedTargets=-1, **fields)


def write(value, depth):
    """JSON as GameMaker writes it: sorted, with commas behind everything, one small resource a line."""
    if not isinstance(value, (dict, list)) or not value:
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, dict):
        items = ["%s:%s" % (json.dumps(k), write(v, depth + 1)) for k, v in sorted(value.items(), key=lambda i: i[0].lower())]
        flat = depth > 2 or depth > 0 and len(value) < 3
    else:
        items = [write(v, depth + 1) for v in value]
        flat = not isinstance(value[0], dict)
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    if flat:
        return opening + "".join(item + "," for item in items) + closing
    indent = "\n" + "  " * (depth + 1)
    return opening + "".join(indent + item + "," for item in items) + "\n" + "  " * depth + closing


def main():
    text = write(extension(), 0) + "\n"
    if "--check" in sys.argv:
        if not os.path.exists(EXTENSION) or read(EXTENSION) != text:
            raise SystemExit("%s is not what generate.py makes: run it" % EXTENSION)
        return
    os.makedirs(os.path.dirname(EXTENSION), exist_ok=True)
    with open(EXTENSION, "w", encoding="utf-8", newline="\n") as file:
        file.write(text)


if __name__ == "__main__":
    main()
