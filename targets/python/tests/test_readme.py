"""The README's lines, as they stand; the stubs name what there is."""

import ast
import pathlib
import re
import shutil

import numpy as np
from conftest import ROOT

import sanderling

HERE = pathlib.Path(__file__).parents[1]


def test_the_readmes_lines_run(tmp_path, monkeypatch, capsys):
    shutil.copytree(ROOT / "examples/magika", tmp_path / "magika")
    monkeypatch.chdir(tmp_path / "magika")
    (tmp_path / "magika/photo.jpg").write_bytes((ROOT / "README.md").read_bytes())
    code, = re.findall(r"```python\n(.*?)```", (HERE / "README.md").read_text(), re.DOTALL)
    exec(compile(code, "README.md", "exec"), {"tokens": np.zeros((1, 2048), np.int32)})
    first, *layers = capsys.readouterr().out.splitlines()
    assert first.startswith("markdown 0.") and len(layers) > 10


def test_the_stubs_name_what_there_is():
    tree = ast.parse((HERE / "python/sanderling/_native.pyi").read_text())
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            real = {name for name in vars(getattr(sanderling._native, node.name)) if not name.startswith("_")}
            stub = {item.name for item in node.body if isinstance(item, ast.FunctionDef) and not item.name.startswith("_")}
            assert real == stub, node.name
        elif isinstance(node, ast.FunctionDef):
            assert hasattr(sanderling._native, node.name)
    assert (pathlib.Path(sanderling.__file__).parent / "py.typed").is_file()
