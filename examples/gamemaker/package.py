#!/usr/bin/env python3
"""Packs the extension and its scripts, without the demo, to be imported into a game.

    package.py PROJECT_DIRECTORY OUTPUT.yymps

The project is the copy that build.sh makes, with the libraries in it."""
import hashlib
import json
import os
import re
import sys
import zipfile
from xml.sax.saxutils import escape

NAME = "gmpunch"
DEMO = re.compile(r"objects/|rooms/|scripts/demo_")


def main():
    project, output = sys.argv[1:]
    with open(os.path.join(project, "gmpunch_demo.yyp"), encoding="utf-8") as file:
        yyp = file.read()
    with open(os.path.join(project, "extensions", NAME, NAME + ".yy"), encoding="utf-8") as file:
        version = re.search(r'"extensionVersion":"([^"]+)"', file.read()).group(1)
    ide = re.search(r'"IDEVersion":"([^"]+)"', yyp).group(1)
    # One resource is one line.
    yyp = re.sub(r'\n *\{"(?:id|roomId)":.*"path":"(?:%s).*' % DEMO.pattern, "", yyp)
    yyp = re.sub(r'\n.*"folderPath":"folders/demo\.yy".*', "", yyp).replace("gmpunch_demo", NAME)
    yyp = yyp.replace('"IDEVersion":"%s",' % ide, (
        '"IDEVersion":"%s","PackageID":"%s","PackageName":"%s","PackagePublisher":"","PackageType":"Asset","PackageVersion":"%s",'
    ) % (ide, NAME, NAME, version))
    metadata = {"package_id": NAME, "display_name": NAME, "version": version, "package_type": "asset", "ide_version": ide}
    files = {NAME + ".yyp": yyp.encode(), "metadata.json": json.dumps(metadata).encode(),
             NAME + ".resource_order": b'{\n  "FolderOrderSettings":[],\n  "ResourceOrderSettings":[],\n}\n'}
    for directory, _, names in os.walk(project):
        for name in names:
            path = os.path.relpath(os.path.join(directory, name), project).replace(os.sep, "/")
            if not DEMO.match(path) and not path.endswith(".yyp"):
                with open(os.path.join(directory, name), "rb") as file:
                    files[path] = file.read()
    manifest = "".join('  <file md5="%s">%s</file>\n' % (hashlib.md5(data).hexdigest().upper(), escape(path.replace("/", "\\")))
                       for path, data in sorted(files.items()))
    files["yymanifest.xml"] = ('<?xml version="1.0" encoding="utf-8"?>\n<files>\n%s</files>\n' % manifest).encode()
    with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED) as package:
        for path, data in sorted(files.items()):
            package.writestr(zipfile.ZipInfo(path, (1980, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED)  # the same each time


if __name__ == "__main__":
    main()
