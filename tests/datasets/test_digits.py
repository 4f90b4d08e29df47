"""The embedded digits are the published ones, bit for bit."""

import gzip
import runpy
import zlib
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from fnnet import datasets
from fnnet.datasets import DataError, _digits, idx
from tests.datasets.loading import assert_read_only, assert_same, idx_bytes

ROOT = Path(__file__).parents[2]


def test_digits_are_scikit_learns_bit_for_bit():
    data = datasets.digits()
    reference = load_digits()
    assert_same(data.x, reference.images.astype(np.uint8))
    assert_same(data.y, reference.target.astype(np.int32))
    assert np.array_equal(data.x, reference.images)
    assert (data.x.shape, data.x.min(), data.x.max()) == ((1797, 8, 8), 0, 16)
    assert [str(name) for name in reference.target_names] == list(datasets.DIGITS_CLASSES)
    assert_read_only(data)


def test_make_reproduces_the_committed_files(tmp_path, capsys):
    runpy.run_path(str(ROOT / "data" / "digits" / "make.py"))["main"](tmp_path)
    readme = (ROOT / "data" / "digits" / "README.md").read_text(encoding="utf-8")
    made = sorted(tmp_path.iterdir())
    assert [file.name for file in made] == sorted(_digits._SHA256)
    for file in made:
        committed = ROOT / "data" / "digits" / file.name
        assert idx.read_content(file) == idx.read_content(committed)
        assert _digits._SHA256[file.name] in readme
        if "ng" not in zlib.ZLIB_RUNTIME_VERSION:  # zlib-ng compresses the same content to other bytes
            assert file.read_bytes() == committed.read_bytes()


def test_damaged_digits_are_an_error(tmp_path, monkeypatch):
    images, labels = _digits._SHA256
    (tmp_path / images).write_bytes((ROOT / "data" / "digits" / images).read_bytes())
    (tmp_path / labels).write_bytes(gzip.compress(idx_bytes(np.zeros(1797, np.uint8))))
    monkeypatch.setattr(_digits, "_FOLDERS", (tmp_path, tmp_path))
    with pytest.raises(DataError, match="SHA-256") as caught:
        datasets.digits()
    assert caught.value.file == str(tmp_path / labels)


def test_missing_digits_name_both_places(tmp_path, monkeypatch):
    monkeypatch.setattr(_digits, "_FOLDERS", (tmp_path / "one", tmp_path / "two"))
    with pytest.raises(DataError, match="digits-images") as caught:
        datasets.digits()
    assert str(tmp_path / "one") in caught.value.fault
    assert str(tmp_path / "two") in caught.value.fault
