#!/usr/bin/env python3
"""What build.sh made. Usage: test_package.py DIRECTORY"""
import hashlib
import os
import sys
import unittest
import xml.etree.ElementTree
import zipfile

import gamemaker

DIRECTORY = sys.argv[1]
LIBRARIES = {"gmpunch.dll": b"MZ", "gmpunch_x64.dll": b"MZ", "libgmpunch.so": b"\x7fELF", "libgmpunch.dylib": b"\xca\xfe\xba\xbe"}


class Test(unittest.TestCase):
    def setUp(self):
        self.package = zipfile.ZipFile(os.path.join(DIRECTORY, "gmpunch.yymps"))
        self.addCleanup(self.package.close)
        self.extension = gamemaker.read_yy("extensions/gmpunch/gmpunch.yy")

    def test_manifest(self):
        files = xml.etree.ElementTree.fromstring(self.package.read("yymanifest.xml")).findall("file")
        listed = {f.text.replace("\\", "/"): f.get("md5") for f in files}
        self.assertEqual(set(listed), set(self.package.namelist()) - {"yymanifest.xml"})
        for name, md5 in listed.items():
            self.assertEqual(md5, hashlib.md5(self.package.read(name)).hexdigest().upper(), name)

    def test_resources(self):
        self.package.extractall(os.path.join(DIRECTORY, "unpacked"))
        project = gamemaker.read_yy(os.path.abspath(os.path.join(DIRECTORY, "unpacked", "gmpunch.yyp")))
        paths = [resource["id"]["path"] for resource in project["resources"]]
        self.assertIn("extensions/gmpunch/gmpunch.yy", paths)
        self.assertIn("scripts/udphp/udphp.yy", paths)
        for path in paths:
            self.assertIn(path, self.package.namelist())
        self.assertFalse([name for name in self.package.namelist() if "demo" in name or name.startswith(("objects", "rooms"))])
        self.assertEqual(project["MetaData"]["PackageVersion"], self.extension["extensionVersion"])

    def test_libraries(self):
        file = self.extension["files"][0]
        self.assertEqual({file["filename"]} | {proxy["name"] for proxy in file["ProxyFiles"]}, set(LIBRARIES))
        for name, magic in LIBRARIES.items():
            path = "extensions/gmpunch/" + name
            if path not in self.package.namelist():
                print("\n*** NOT TESTED, build.sh could not build it: %s\n" % name)
                continue
            data = self.package.read(path)
            self.assertEqual(data[:len(magic)], magic, name)
            for function in file["functions"]:
                self.assertIn(function["externalName"].encode() + b"\0", data, name)


if __name__ == "__main__":
    del sys.argv[1]
    unittest.main()
