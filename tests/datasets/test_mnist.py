"""Published data sets: every place is searched in order, every file verified, every mirror tried."""

import gzip
import hashlib
import http.server
import math
import os
import socket
import threading
from pathlib import Path

import numpy as np
import pooch
import pytest

from fnnet import datasets
from fnnet.datasets import DataError, _mnist
from tests.datasets.loading import assert_read_only, assert_same, idx_bytes

NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
SMALL = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
RAW = idx_bytes(SMALL)


def changed(content, place):
    return content[:place] + bytes([content[place] ^ 255]) + content[place + 1 :]


# --- where the published sets are looked for ---


def tiny_arrays():
    generator = np.random.default_rng(0)
    sizes = {NAMES[0]: (6, 4, 4), NAMES[1]: (6,), NAMES[2]: (3, 4, 4), NAMES[3]: (3,)}
    return {name: generator.integers(0, 10, shape, np.uint8) for name, shape in sizes.items()}


ARRAYS = tiny_arrays()
CONTENT = {name: idx_bytes(array) for name, array in ARRAYS.items()}
KERAS = dict(zip(("x_train", "y_train", "x_test", "y_test"), ARRAYS.values(), strict=True))


def tiny(mirrors=(), keras="tiny-keras"):
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in CONTENT.items()}
    return _mnist.PublishedSet(name="tiny", torchvision="Tiny", keras=keras, mirrors=tuple(mirrors), sha256=hashes)


@pytest.fixture
def places(tmp_path, monkeypatch):
    """An empty machine; the folders in which the set `tiny` is looked for, in order."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    for name in ("HOME", "USERPROFILE", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home" / "cache"))
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.delenv("KERAS_HOME", raising=False)
    root = tmp_path / "chosen"
    monkeypatch.setenv("FNNET_DATA", str(root))
    return [
        root / "tiny",
        root / "Tiny" / "raw",
        Path("data") / "tiny",
        Path("data") / "Tiny" / "raw",
        tmp_path / "home" / ".keras" / "datasets" / "tiny-keras",
        Path(pooch.os_cache("fnnet")) / "tiny",
    ]


def fill(folder, names=NAMES, pack=gzip.compress, suffix=".gz"):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / f"{name}{suffix}").write_bytes(pack(CONTENT[name]))


def fill_raw(folder, names=NAMES):
    fill(folder, names, bytes, "")


def fill_garbage(folder):
    fill(folder, NAMES, lambda content: b"garbage")


def assert_tiny(loaded):
    train, test = loaded
    for batch, (x, y) in zip((train, test), ((NAMES[0], NAMES[1]), (NAMES[2], NAMES[3])), strict=True):
        assert_same(batch.x, ARRAYS[x])
        assert_same(batch.y, ARRAYS[y].astype(np.int32))
        assert_read_only(batch)


@pytest.mark.parametrize("index", range(6))
@pytest.mark.parametrize("filler", [fill, fill_raw])
def test_an_earlier_place_comes_before_a_later_one(places, index, filler):
    filler(places[index])
    for later in places[index + 1 :]:
        fill_garbage(later)
    assert_tiny(_mnist.load(tiny()))


@pytest.mark.parametrize("index", range(6))
def test_a_damaged_file_is_an_error_even_if_a_later_place_is_sound(places, index):
    fill_garbage(places[index])
    for later in places[index + 1 :]:
        fill(later)
    with pytest.raises(DataError, match=r"wrong magic number .*; delete it") as caught:
        _mnist.load(tiny())
    assert caught.value.file == str(places[index] / f"{NAMES[0]}.gz")


def test_every_file_is_looked_for_on_its_own(places):
    for name, place in zip(NAMES, (places[5], places[1], places[4], places[3]), strict=True):
        fill_raw(place, [name])
    assert_tiny(_mnist.load(tiny()))


@pytest.mark.parametrize("value", ["", "nowhere/at/all", "~/chosen"])
def test_fnnet_data_may_be_empty_or_elsewhere_or_below_home(places, monkeypatch, value, tmp_path):
    monkeypatch.setenv("FNNET_DATA", value)
    fill(tmp_path / "home" / "chosen" / "tiny" if value.startswith("~") else places[5])
    assert_tiny(_mnist.load(tiny()))


def test_other_content_is_an_error_that_says_what_to_do(places):
    fill(places[0])
    file = places[0] / f"{NAMES[0]}.gz"
    file.write_bytes(gzip.compress(idx_bytes(255 - ARRAYS[NAMES[0]])))
    with pytest.raises(DataError, match=r"SHA-256 of its content is [0-9a-f]{64}, expected .*; delete it") as caught:
        _mnist.load(tiny())
    assert caught.value.file == str(file)


def keras_file(tmp_path):
    file = tmp_path / "home" / ".keras" / "datasets" / "tiny.npz"
    file.parent.mkdir(parents=True)
    return file


def test_keras_npz_is_verified_as_the_idx_file_it_was(places, tmp_path):
    np.savez_compressed(keras_file(tmp_path), **KERAS)
    assert_tiny(_mnist.load(tiny(keras="tiny.npz")))


def test_keras_home_moves_kerass_cache(places, tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "moved"))
    fill(tmp_path / "moved" / "datasets" / "tiny-keras")
    assert_tiny(_mnist.load(tiny()))


def saved(**arrays):
    return lambda file: np.savez_compressed(file, **arrays)


def cut_npz(file):
    np.savez(file, **KERAS)
    file.write_bytes(file.read_bytes()[:-100])


def flipped_npz(file):
    np.savez(file, **KERAS)
    content = file.read_bytes()
    place = content.index(KERAS["x_train"].tobytes())
    file.write_bytes(changed(content, place))


def save_npy(file):
    with file.open("wb") as opened:
        np.save(opened, SMALL)


@pytest.mark.parametrize(
    ("write", "fault"),
    [
        (saved(**KERAS | {"x_train": 255 - KERAS["x_train"]}), "SHA-256"),
        (saved(**KERAS | {"x_train": KERAS["x_train"].astype(np.int32)}), "SHA-256"),
        (saved(**KERAS | {"x_train": KERAS["x_train"].astype(np.int64)}), "no element type for int64"),
        (saved(**KERAS | {"x_train": np.array([object()], object)}), "not a readable npz"),
        (saved(y_train=KERAS["y_train"]), "x_train"),
        (cut_npz, "not a readable npz"),
        (flipped_npz, "not a readable npz"),
        (save_npy, "not a readable npz"),
        (lambda file: file.write_bytes(b"<html>404</html>"), "not a readable npz"),
        (lambda file: file.write_bytes(b""), "not a readable npz"),
    ],
)
def test_a_damaged_npz_is_a_data_error(places, tmp_path, write, fault):
    file = keras_file(tmp_path)
    write(file)
    with pytest.raises(DataError, match=f"{fault}.*; delete it") as caught:
        _mnist.load(tiny(keras="tiny.npz"))
    assert caught.value.file == str(file)


class Unpickled:
    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return Path.touch, (self.file,)


def test_nothing_in_an_npz_is_unpickled(places, tmp_path):
    saved(x_train=np.array([Unpickled(tmp_path / "ran")], object))(keras_file(tmp_path))
    with pytest.raises(DataError, match="not a readable npz"):
        _mnist.load(tiny(keras="tiny.npz"))
    assert not (tmp_path / "ran").exists()


# --- downloads ---


class Mirrors(http.server.BaseHTTPRequestHandler):
    """/html/ /403/ /cut/ /broken/ /other/ /good/ /encoded/: the first folder says how the mirror behaves."""

    def do_GET(self):
        kind, name = self.path.split("/")[1:]
        self.server.asked.append(kind)
        packed = gzip.compress(CONTENT[name.removesuffix(".gz")])
        status, body, length = {
            "html": (200, b"<html>please log in</html>", 0),
            "403": (403, b"no", 0),
            "cut": (200, packed[:-3], 0),
            "broken": (200, packed[:-3], 3),
            "other": (200, gzip.compress(RAW), 0),
            "good": (200, packed, 0),
            "encoded": (200, packed, 0),
        }[kind]
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) + length))
        if kind == "encoded":  # such servers make the client unpack, and what arrives is not gzip
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *args):
        pass


@pytest.fixture
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Mirrors) as running:
        running.asked = []
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def addresses(server, *kinds):
    return [f"http://127.0.0.1:{server.server_port}/{kind}/" for kind in kinds]


def files_in(folder):
    return sorted(file.name for file in folder.rglob("*"))


def test_mirrors_are_tried_one_after_the_other(places, server, capsys):
    kinds = ["html", "403", "cut", "broken", "other", "good"]
    mirrors = addresses(server, *kinds)
    assert_tiny(_mnist.load(tiny(mirrors)))
    assert server.asked == kinds * 4
    assert files_in(places[5]) == sorted(f"{name}.gz" for name in NAMES)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [f"fnnet: fetching {m}{name}.gz into {places[5]}" for name in NAMES for m in mirrors]


@pytest.mark.parametrize("kind", ["good", "encoded"])
def test_what_was_downloaded_is_not_downloaded_again(places, server, capsys, kind):
    source = tiny(addresses(server, kind))
    assert_tiny(_mnist.load(source))
    assert_tiny(_mnist.load(source))
    assert server.asked == [kind] * 4


def test_when_every_mirror_fails_the_error_lists_every_fault(places, server, capsys):
    mirrors = addresses(server, "html", "403", "cut", "broken", "other")
    with pytest.raises(DataError) as caught:
        _mnist.load(tiny(mirrors))
    text = str(caught.value)
    faults = ("HTML or XML page", "403 Client Error", "checksum is missing", "IncompleteRead", "SHA-256 of its")
    for mirror, fault in zip(mirrors, faults, strict=True):
        (line,) = [line for line in text.splitlines() if mirror in line]
        assert fault in line
    assert files_in(places[5]) == []


def test_without_network_and_data_the_error_says_what_to_do(places, capsys):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    mirrors = [f"http://127.0.0.1:{port}/{kind}/" for kind in ("one", "two")]
    with pytest.raises(DataError) as caught:
        _mnist.load(tiny(mirrors, keras="tiny.npz"))
    text = str(caught.value)
    assert text.startswith(f"tiny/{NAMES[0]}.gz: found nowhere")
    assert text.count("refused") == 2
    assert f"set FNNET_DATA to a folder that holds tiny/{NAMES[0]}.gz" in text
    named = {line.strip() for line in text.splitlines()}
    assert {str(place) for place in places if place.name != "tiny-keras"} <= named
    assert str(places[4].with_name("tiny.npz")) in named


def test_a_cache_that_cannot_be_written_is_a_data_error(places, server, capsys):
    places[5].parent.parent.mkdir(parents=True)
    places[5].parent.write_text("a file where the folder should be")
    with pytest.raises(DataError, match="could not be downloaded"):
        _mnist.load(tiny(addresses(server, "good")))
    assert server.asked == []


# --- the published sets themselves ---

published = pytest.mark.skipif(
    not os.environ.get("FNNET_DATA"), reason="FNNET_DATA is not set: MNIST is not downloaded for a test"
)


def assert_published(train, test):
    for batch, rows in ((train, 60_000), (test, 10_000)):
        assert (batch.x.shape, batch.x.dtype) == ((rows, 28, 28), np.uint8)
        assert (batch.y.shape, batch.y.dtype) == ((rows,), np.int32)
        assert_read_only(batch)


@published
def test_mnist_has_the_published_mean_and_deviation():
    train, test = datasets.mnist()
    assert_published(train, test)
    mean = train.x.mean() / 255
    deviation = math.sqrt(np.square(train.x, dtype=np.uint16).mean() / 255**2 - mean**2)
    assert round(mean, 5) == 0.13066
    assert round(deviation, 5) == 0.30811
    assert train.y[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert len(datasets.MNIST_CLASSES) == 10


@published
def test_fashion_mnist_has_6000_and_1000_of_each_class():
    train, test = datasets.fashion_mnist()
    assert_published(train, test)
    assert np.bincount(train.y).tolist() == [6000] * 10
    assert np.bincount(test.y).tolist() == [1000] * 10
    assert datasets.FASHION_MNIST_CLASSES[train.y[0]] == "Ankle boot"
    assert len(datasets.FASHION_MNIST_CLASSES) == 10
