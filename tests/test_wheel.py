"""The digits and the page travel with the package, installed either way."""

import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import fnnet

ROOT = Path(__file__).parents[1]

LOAD = """
import hashlib, sys
import fnnet
opened = []
sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == "open" else None)
x, y, _ = fnnet.datasets.digits()
print(fnnet.__file__, *[file for file in opened if file.endswith(".gz")], sep="\\n")
print(hashlib.sha256(x.tobytes() + y.tobytes()).hexdigest())
assert "pooch" not in sys.modules
"""


EXPORT = """
import sys
import fnnet, jax
model = fnnet.mlp((2, 3, 2))
fnnet.export_page(model, fnnet.init(model, jax.random.key(0)), sys.argv[1])
"""


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    """A wheel of this tree, built without a network, unzipped as an installer would."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT, check=True, capture_output=True,
    )  # fmt: skip
    (wheel,) = folder.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(folder / "site")
    return folder / "site"


def digest(data):
    return hashlib.sha256(data.x.tobytes() + data.y.tobytes()).hexdigest()


def test_digits_load_from_a_wheel(unpacked, tmp_path):
    loaded = subprocess.run(
        [sys.executable, "-c", LOAD],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(unpacked)}, check=True, capture_output=True, text=True,
    )  # fmt: skip
    module, *files, found = loaded.stdout.splitlines()
    inside = unpacked / "fnnet" / "datasets" / "embedded" / "digits"
    assert Path(module) == unpacked / "fnnet" / "__init__.py"
    assert files == [str(inside / f"digits-{kind}-ubyte.gz") for kind in ("images-idx3", "labels-idx1")]
    assert found == digest(fnnet.datasets.digits())


def test_the_wheel_says_where_the_digits_are_from(unpacked):
    readme = unpacked / "fnnet" / "datasets" / "embedded" / "digits" / "README.md"
    assert "CC BY 4.0" in readme.read_text(encoding="utf-8")


def test_digits_load_from_the_tree():
    assert not (ROOT / "fnnet" / "datasets" / "embedded").exists()
    assert (ROOT / "data" / "digits").is_dir()
    assert len(fnnet.datasets.digits().y) == 1797


@pytest.mark.slow
def test_a_wheel_writes_the_same_page_as_the_tree(unpacked, tmp_path):
    pages = []
    for place in (unpacked, ROOT):
        pages.append(tmp_path / f"{len(pages)}.html")
        subprocess.run(
            [sys.executable, "-c", EXPORT, str(pages[-1])],
            cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(place)}, check=True, capture_output=True,
        )  # fmt: skip
    assert pages[0].read_bytes() == pages[1].read_bytes()
