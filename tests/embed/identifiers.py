"""Checks a preprocessed file: what gmpunch.h declares at file scope begins with gmpunch_ or GMPUNCH_.

Every identifier outside of parameter lists and struct bodies counts, and every one in an enum, unless it is a word of the
language or a type of stdint.h or stddef.h. Then a forgotten prefix can't hide, whatever it is that lacks it.
"""
import re
import sys

KNOWN = set("""auto char const double enum extern float int long register short signed static struct typedef union
unsigned void volatile inline restrict __attribute__ __extension__ __inline __restrict unused visibility default C
size_t int8_t int16_t int32_t int64_t uint8_t uint16_t uint32_t uint64_t uintptr_t""".split())

lines, inside = [], False
for line in open(sys.argv[1], encoding="utf-8"):
    marker = re.match(r'# \d+ "(.*?)"', line)
    if marker:
        inside = marker.group(1).endswith("/gmpunch.h")
    elif inside:
        lines.append(line)

tokens = re.findall(r'[A-Za-z_]\w*|"[^"]*"|\S', re.sub(r"\b\d\w*", "0", "".join(lines)))
blocks, parens, bad, seen, keyword = [], 0, set(), 0, ""
for previous, token in zip([""] + tokens, tokens):
    if token == "{":
        blocks.append(keyword)
    elif token == "}":
        blocks.pop()
    elif token == ";":
        keyword = ""
    elif token == "(":
        parens += 1
    elif token == ")":
        parens -= 1
    elif token in ("struct", "union", "enum", "extern"):
        keyword = token
    elif re.match(r"[A-Za-z_]", token):
        in_struct = "struct" in blocks or "union" in blocks
        declared = parens == 0 or (parens == 1 and previous == "*" and tokens[tokens.index(token) - 2] == "(")
        if declared and not in_struct and token not in KNOWN:
            seen += 1
            prefix = "GMPUNCH_" if "enum" in blocks else "gmpunch_"
            if not token.startswith(prefix):
                bad.add(token)
for token in sorted(bad):
    print("no prefix:", token)
if seen < 200:
    print("only", seen, "identifiers found: this check does not see the header")
sys.exit(1 if bad or seen < 200 else 0)
