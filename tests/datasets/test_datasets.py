"""The loaders: what is read is right to the last bit, and what is not right is not read."""

import gzip
import hashlib
import http.server
import math
import os
import pickle
import runpy
import socket
import struct
import threading
import tracemalloc
import zlib
from pathlib import Path

import hypothesis.extra.numpy as hnp
import jax
import numpy as np
import pooch
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from fnnet import datasets
from fnnet.datasets import DataError, idx, optdigits, sources
from fnnet.protocols import Batch

ROOT = Path(__file__).parents[2]
CODES = {"uint8": 8, "int8": 9, "int16": 11, "int32": 12, "float32": 13, "float64": 14}
NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def idx_bytes(array):
    """The format written down a second time, so that a slip in `idx.encode` cannot hide in a round trip."""
    header = bytes([0, 0, CODES[array.dtype.name], array.ndim])
    return (
        header
        + b"".join(struct.pack(">I", n) for n in array.shape)
        + array.astype(array.dtype.newbyteorder(">")).tobytes()
    )


SMALL = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
RAW = idx_bytes(SMALL)
PACKED = gzip.compress(RAW, mtime=0)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("idx") / "file"


def read_bytes(path, content):
    path.write_bytes(content)
    return datasets.read_idx(path)


def read_or_fault(path, content):
    try:
        return read_bytes(path, content)
    except DataError:
        return None


def assert_same(a, b):
    assert a.dtype == b.dtype
    assert a.dtype.isnative
    assert a.shape == b.shape
    assert a.tobytes() == b.tobytes()


# --- the parser ---

any_array = hnp.arrays(
    dtype=st.sampled_from(sorted(CODES)),
    shape=hnp.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=4),
)


@settings(deadline=None)
@given(array=any_array, packed=st.booleans())
def test_every_type_and_rank_makes_the_round_trip(scratch, array, packed):
    content = idx_bytes(array)
    assert idx.encode(array) == content
    read = read_bytes(scratch, gzip.compress(content) if packed else content)
    assert_same(read, array)
    assert not read.flags.writeable


idx_like = st.builds(
    lambda code, sizes, body: bytes([0, 0, code, len(sizes)]) + struct.pack(f">{len(sizes)}I", *sizes) + body,
    st.sampled_from([*CODES.values(), 10]),
    st.lists(st.integers(0, 3) | st.integers(0, 2**32 - 1), max_size=4),
    st.binary(max_size=30),
)


@settings(deadline=None, max_examples=300)
@given(content=st.binary(max_size=60) | idx_like, packed=st.booleans())
@example(content=b"\0\0\x08\xff" + bytes(4 * 255), packed=False)
@example(content=b"\0\0\x08\x40" + bytes(4 * 64), packed=False)
@example(content=b"\0\0\x08\x02" + struct.pack(">II", 0, 2**32 - 1), packed=False)
def test_arbitrary_bytes_are_an_array_or_a_data_error(scratch, content, packed):
    array = read_or_fault(scratch, gzip.compress(content) if packed else content)
    assert array is None or idx_bytes(array) == content


@settings(deadline=None, max_examples=200)
@given(body=st.binary(max_size=80))
def test_arbitrary_bytes_after_the_gzip_magic_are_a_data_error(scratch, body):
    assert read_or_fault(scratch, b"\x1f\x8b" + body) is None


@pytest.mark.parametrize("content", [RAW, PACKED], ids=["raw", "gzip"])
def test_every_truncation_is_an_error(scratch, content):
    for length in range(len(content)):
        assert read_or_fault(scratch, content[:length]) is None, length


def test_every_changed_header_byte_is_an_error(scratch):
    header = len(RAW) - SMALL.size
    read = {
        (place, value)
        for place in range(header)
        for value in range(256)
        if value != RAW[place] and read_or_fault(scratch, RAW[:place] + bytes([value]) + RAW[place + 1 :]) is not None
    }
    assert read == {(2, CODES["int8"])}  # 24 bytes are 24 int8 as well: nothing in the file says otherwise


def test_every_flipped_bit_of_a_gzip_is_an_error_or_harmless(scratch):
    for bit in range(8 * len(PACKED)):
        damaged = bytearray(PACKED)
        damaged[bit // 8] ^= 1 << bit % 8
        array = read_or_fault(scratch, bytes(damaged))
        assert array is None or np.array_equal(array, SMALL), bit  # time stamp, system, padding


def header(code, *sizes):
    return bytes([0, 0, code, len(sizes)]) + struct.pack(f">{len(sizes)}I", *sizes)


def changed(content, place):
    return content[:place] + bytes([content[place] ^ 255]) + content[place + 1 :]


MALFORMED = {
    "empty": (b"", "the magic number is cut short: 0 of 4 bytes"),
    "magic cut short": (RAW[:3], "the magic number is cut short: 3 of 4 bytes"),
    "header cut short": (RAW[:10], "the header is cut short: 6 of 12 bytes"),
    "body cut short": (RAW[:-1], "the body is cut short: 23 of 24 bytes"),
    "wrong magic": (b"\1\0" + RAW[2:], "wrong magic number 01000803"),
    "PNG": (b"\x89PNG\r\n\x1a\n", "wrong magic number 89504e47"),
    "unknown type": (b"\0\0\x0a\x01" + bytes(8), "unknown element type 0a: IDX has 08 09 0b 0c 0d 0e"),
    "rank": (b"\0\0\x08\x41" + bytes(300), "rank 65: NumPy holds at most 64 dimensions"),
    "larger size": (header(8, 2, 3, 5) + SMALL.tobytes(), "the body is cut short: 24 of 30 bytes"),
    "smaller size": (header(8, 2, 3, 3) + SMALL.tobytes(), "6 trailing bytes"),
    "trailing byte": (RAW + b"\0", "1 trailing bytes"),
    "HTML": (b"<!DOCTYPE html><html>404</html>", "is an HTML or XML page, not IDX"),
    "HTML after blanks": (b"\n <html>404</html>", "is an HTML or XML page, not IDX"),
    "HTML in gzip": (gzip.compress(b"<html>404</html>"), "is an HTML or XML page, not IDX"),
    "absurd size": (header(8, 2**32 - 1, 2**32 - 1), "more than 2147483648 bytes"),
    "absurd empty": (header(8, 0, 2**32 - 1, 2**32 - 1), "more than 2147483648 bytes"),
    "absurd in gzip": (gzip.compress(header(8, 2**32 - 1)), "more than 2147483648 bytes"),
    "gzip in gzip": (gzip.compress(PACKED), "wrong magic number 1f8b"),
    "gzip header only": (PACKED[:10], "the magic number is cut short"),
    "gzip body cut short": (gzip.compress(RAW[:-1]), "the body is cut short: 23 of 24 bytes"),
    "gzip too long": (gzip.compress(RAW + b"\0"), "trailing bytes: the content goes on"),
    "gzip without checksum": (PACKED[:-8], "gzip is cut short: its checksum is missing"),
    "gzip half a checksum": (PACKED[:-5], "gzip is cut short: its checksum is missing"),
    "gzip CRC": (
        changed(PACKED, -8 + len(PACKED)),
        "damaged gzip (Error -3 while decompressing data: incorrect data check",
    ),
    "gzip length": (changed(PACKED, -1 + len(PACKED)), "incorrect length check"),
    "gzip method": (changed(PACKED, 2), "damaged gzip"),
    "second member": (PACKED + gzip.compress(b""), "a second gzip member follows the first"),
    "second member, no more": (PACKED + PACKED, "a second gzip member follows the first"),
    "trailing after gzip": (PACKED + b"\0", "trailing bytes after the gzip member"),
}


@pytest.mark.parametrize(("content", "fault"), MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_file_is_named_with_its_fault(tmp_path, content, fault):
    file = tmp_path / "some-file"
    with pytest.raises(DataError) as caught:
        read_bytes(file, content)
    assert caught.value.file == str(file)
    assert fault in caught.value.fault
    assert str(caught.value) == f"{file}: {caught.value.fault}"


def test_a_member_that_ends_where_a_block_ends_is_read_on(scratch, monkeypatch):
    for size in range(1, len(PACKED) + 2):  # every place at which a read of the file can stop
        monkeypatch.setattr(idx, "_BLOCK", size)
        assert_same(read_bytes(scratch, PACKED), SMALL)
        assert read_or_fault(scratch, PACKED + PACKED) is None
        assert read_or_fault(scratch, PACKED[:-1]) is None


@pytest.mark.parametrize("shape", [(24,), (4, 6), (2, 3, 4), (1, 2, 3, 4)])
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["raw", "gzip"])
def test_an_array_lies_where_jax_can_use_it_without_a_copy(scratch, pack, shape):
    array = read_bytes(scratch, pack(idx_bytes(SMALL.reshape(shape))))
    if jax.default_backend() == "cpu":
        assert jax.device_put(array).unsafe_buffer_pointer() == array.ctypes.data
    assert array.ctypes.data % 64 == 0
    with pytest.raises(ValueError, match="WRITEABLE"):  # what JAX uses must never change
        array.setflags(write=True)


def test_what_gzip_packs_best_is_read_whole(scratch):
    nothing = np.zeros((20, 2**20), np.uint8)
    packed = gzip.compress(idx_bytes(nothing))
    assert len(packed) < nothing.size / 1000
    assert_same(read_bytes(scratch, packed), nothing)


def test_what_is_not_a_file_is_a_data_error(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        datasets.read_idx(tmp_path / "missing")
    with pytest.raises(DataError, match="is not a file"):
        datasets.read_idx(tmp_path)


def test_what_cannot_be_opened_is_a_data_error(scratch, monkeypatch):
    def refuse(*args):
        raise PermissionError(13, "Permission denied")

    scratch.write_bytes(RAW)
    monkeypatch.setattr(idx, "open", refuse, raising=False)
    with pytest.raises(DataError, match=r"cannot be read \(Permission denied\)"):
        datasets.read_idx(scratch)


def peak_bytes(path, content):
    path.write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(DataError):
            datasets.read_idx(path)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_gzip_bomb_is_not_inflated(scratch):
    packer = zlib.compressobj(1, wbits=31)
    bomb = packer.compress(header(8, 10)) + b"".join(packer.compress(bytes(2**20)) for _ in range(64)) + packer.flush()
    assert peak_bytes(scratch, bomb) < 4 * 2**20


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["raw", "gzip"])
def test_a_header_that_promises_2_gib_allocates_nothing(scratch, pack):
    assert peak_bytes(scratch, pack(header(8, 2**31))) < 4 * 2**20


def test_encode_refuses_what_idx_has_not():
    with pytest.raises(ValueError, match="no element type for int64"):
        idx.encode(np.zeros(3, np.int64))


def test_a_data_error_is_a_value_error_and_survives_pickling():
    error = pickle.loads(pickle.dumps(DataError(Path("a") / "b", "broken")))
    assert isinstance(error, ValueError)
    assert str(error) == f"{os.path.join('a', 'b')}: broken"


# --- images with labels ---


def write_pair(folder, x, y):
    (folder / "x").write_bytes(idx_bytes(x))
    (folder / "y").write_bytes(idx_bytes(y))
    return folder / "x", folder / "y"


def test_a_pair_is_a_batch(tmp_path):
    files = write_pair(tmp_path, SMALL, np.array([0, 25], np.uint8))
    batch = datasets.read_idx_pair(*files, classes=26)
    assert_same(batch.x, SMALL)
    assert_same(batch.y, np.array([0, 25], np.int32))
    assert batch.weights is None
    assert_read_only(batch)


@pytest.mark.parametrize(
    ("x", "y", "guilty", "fault"),
    [
        (SMALL, np.array([0, 1, 2], np.uint8), "y", "holds 3 labels for the 2 images of "),
        (SMALL, np.array([3, 10], np.uint8), "y", "label 10 in row 1 is not in 0..9"),
        (SMALL, np.array([-1, 10], np.int8), "y", "label -1 in row 0 is not in 0..9"),
        (SMALL, np.array([0, 1], np.float32), "y", r"holds float32 \(2,\), not \(N,\) integer labels"),
        (SMALL, np.array([[0], [1]], np.uint8), "y", r"holds uint8 \(2, 1\), not"),
        (SMALL[0, 0, 0], np.array([0], np.uint8), "x", "holds a single number"),
    ],
)
def test_a_pair_that_does_not_fit_names_the_guilty_file(tmp_path, x, y, guilty, fault):
    files = write_pair(tmp_path, np.asarray(x), y)
    with pytest.raises(DataError, match=fault) as caught:
        datasets.read_idx_pair(*files)
    assert caught.value.file == str(tmp_path / guilty)


def assert_read_only(batch):
    for part in batch[:2]:
        assert not part.flags.writeable
        with pytest.raises(ValueError, match="read-only"):
            part[0] = 0


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
    return sources.Source(name="tiny", torchvision="Tiny", keras=keras, mirrors=tuple(mirrors), sha256=hashes)


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
    assert_tiny(sources.load(tiny()))


@pytest.mark.parametrize("index", range(6))
def test_a_damaged_file_is_an_error_even_if_a_later_place_is_sound(places, index):
    fill_garbage(places[index])
    for later in places[index + 1 :]:
        fill(later)
    with pytest.raises(DataError, match=r"wrong magic number .*; delete it") as caught:
        sources.load(tiny())
    assert caught.value.file == str(places[index] / f"{NAMES[0]}.gz")


def test_every_file_is_looked_for_on_its_own(places):
    for name, place in zip(NAMES, (places[5], places[1], places[4], places[3]), strict=True):
        fill_raw(place, [name])
    assert_tiny(sources.load(tiny()))


@pytest.mark.parametrize("value", ["", "nowhere/at/all", "~/chosen"])
def test_fnnet_data_may_be_empty_or_elsewhere_or_below_home(places, monkeypatch, value, tmp_path):
    monkeypatch.setenv("FNNET_DATA", value)
    fill(tmp_path / "home" / "chosen" / "tiny" if value.startswith("~") else places[5])
    assert_tiny(sources.load(tiny()))


def test_other_content_is_an_error_that_says_what_to_do(places):
    fill(places[0])
    file = places[0] / f"{NAMES[0]}.gz"
    file.write_bytes(gzip.compress(idx_bytes(255 - ARRAYS[NAMES[0]])))
    with pytest.raises(DataError, match=r"SHA-256 of its content is [0-9a-f]{64}, expected .*; delete it") as caught:
        sources.load(tiny())
    assert caught.value.file == str(file)


def keras_file(tmp_path):
    file = tmp_path / "home" / ".keras" / "datasets" / "tiny.npz"
    file.parent.mkdir(parents=True)
    return file


def test_keras_npz_is_verified_as_the_idx_file_it_was(places, tmp_path):
    np.savez_compressed(keras_file(tmp_path), **KERAS)
    assert_tiny(sources.load(tiny(keras="tiny.npz")))


def test_keras_home_moves_kerass_cache(places, tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "moved"))
    fill(tmp_path / "moved" / "datasets" / "tiny-keras")
    assert_tiny(sources.load(tiny()))


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
        sources.load(tiny(keras="tiny.npz"))
    assert caught.value.file == str(file)


class Unpickled:
    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return Path.touch, (self.file,)


def test_nothing_in_an_npz_is_unpickled(places, tmp_path):
    saved(x_train=np.array([Unpickled(tmp_path / "ran")], object))(keras_file(tmp_path))
    with pytest.raises(DataError, match="not a readable npz"):
        sources.load(tiny(keras="tiny.npz"))
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
    assert_tiny(sources.load(tiny(mirrors)))
    assert server.asked == kinds * 4
    assert files_in(places[5]) == sorted(f"{name}.gz" for name in NAMES)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [f"fnnet: fetching {m}{name}.gz into {places[5]}" for name in NAMES for m in mirrors]


@pytest.mark.parametrize("kind", ["good", "encoded"])
def test_what_was_downloaded_is_not_downloaded_again(places, server, capsys, kind):
    source = tiny(addresses(server, kind))
    assert_tiny(sources.load(source))
    assert_tiny(sources.load(source))
    assert server.asked == [kind] * 4


def test_when_every_mirror_fails_the_error_lists_every_fault(places, server, capsys):
    mirrors = addresses(server, "html", "403", "cut", "broken", "other")
    with pytest.raises(DataError) as caught:
        sources.load(tiny(mirrors))
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
        sources.load(tiny(mirrors, keras="tiny.npz"))
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
        sources.load(tiny(addresses(server, "good")))
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


# --- the embedded digits ---


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
    assert [file.name for file in made] == sorted(optdigits._SHA256)
    for file in made:
        committed = ROOT / "data" / "digits" / file.name
        assert idx.read_content(file) == idx.read_content(committed)
        assert optdigits._SHA256[file.name] in readme
        if "ng" not in zlib.ZLIB_RUNTIME_VERSION:  # zlib-ng compresses the same content to other bytes
            assert file.read_bytes() == committed.read_bytes()


def test_damaged_digits_are_an_error(tmp_path, monkeypatch):
    images, labels = optdigits._SHA256
    (tmp_path / images).write_bytes((ROOT / "data" / "digits" / images).read_bytes())
    (tmp_path / labels).write_bytes(gzip.compress(idx_bytes(np.zeros(1797, np.uint8))))
    monkeypatch.setattr(optdigits, "_FOLDERS", (tmp_path, tmp_path))
    with pytest.raises(DataError, match="SHA-256") as caught:
        datasets.digits()
    assert caught.value.file == str(tmp_path / labels)


def test_missing_digits_name_both_places(tmp_path, monkeypatch):
    monkeypatch.setattr(optdigits, "_FOLDERS", (tmp_path / "one", tmp_path / "two"))
    with pytest.raises(DataError, match="digits-images") as caught:
        datasets.digits()
    assert str(tmp_path / "one") in caught.value.fault
    assert str(tmp_path / "two") in caught.value.fault


# --- the split ---


def numbered(y, weights=None):
    return Batch(np.arange(len(y)), np.asarray(y), weights)


@settings(deadline=None)
@given(
    y=st.lists(st.integers(0, 4), min_size=2, max_size=80),
    share=st.floats(0.01, 0.99),
    seed=st.integers(0, 2**32),
)
def test_a_split_is_a_partition_in_proportion(y, share, seed):
    total = round(len(y) * share)
    if not 0 < total < len(y):
        return
    train, test = datasets.stratified_split(numbered(y), test_fraction=share, seed=seed)
    assert len(test.y) == total
    assert sorted([*train.x, *test.x]) == list(range(len(y)))
    for part in (train, test):
        assert part.y.tolist() == [y[row] for row in part.x]
        assert_read_only(part)
    exact = np.bincount(y) * share
    counts = np.bincount(test.y, minlength=len(exact))
    assert np.all(abs(counts - exact) < 1 + 1e-9)
    raised = counts > np.floor(exact)  # the largest remainders, and no smaller one, are rounded up
    if raised.any() and not raised.all():
        rest = exact - np.floor(exact)
        assert rest[raised].min() >= rest[~raised].max() - 1e-9


def test_a_split_is_a_function_of_its_seed():
    data = datasets.digits()
    first, again, other = (datasets.stratified_split(data, test_fraction=0.2, seed=seed) for seed in (0, 0, 1))
    assert_same(first[1].x, again[1].x)
    assert_same(first[0].y, again[0].y)
    assert not np.array_equal(first[1].x, other[1].x)
    assert (len(first[0].y), len(first[1].y)) == (1438, 359)
    assert np.ptp(np.bincount(first[1].y)) <= 2


def test_a_split_shuffles_both_parts_over_the_classes():
    train, test = datasets.stratified_split(numbered(np.repeat([0, 1], 500)), test_fraction=0.5, seed=0)
    for part in (train, test):
        assert 100 < part.y[:250].sum() < 150
        assert np.any(np.diff(part.x) < 0)


def test_a_split_carries_weights_and_leaves_its_input_alone():
    weights = np.linspace(0, 1, 10)
    data = numbered(np.repeat([0, 1], 5), weights)
    train, test = datasets.stratified_split(data, test_fraction=0.4, seed=3)
    for part in (train, test):
        assert np.array_equal(part.weights, weights[part.x])
    assert weights.flags.writeable
    assert data.y.flags.writeable


@pytest.mark.parametrize(
    ("data", "share", "fault"),
    [
        (numbered([0, 1]), 0.0, "test_fraction must be between 0 and 1, got 0.0"),
        (numbered([0, 1]), 1.5, "test_fraction must be between 0 and 1, got 1.5"),
        (numbered([0, 1]), math.nan, "test_fraction must be between 0 and 1, got nan"),
        (numbered([0, 1]), 0.1, "test_fraction=0.1 of 2 rows leaves a part empty"),
        (numbered(np.zeros(0, int)), 0.5, "of 0 rows leaves a part empty"),
        (numbered([0.0, 1.0]), 0.5, r"y must be \(N,\) integer classes, got float64 \(2,\)"),
        (numbered(np.eye(2, dtype=int)), 0.5, r"y must be \(N,\) integer classes, got int64 \(2, 2\)"),
        (Batch(np.zeros(3), np.zeros(2, int)), 0.5, r"different lengths: \[\(2,\), \(3,\)\]"),
        (Batch(np.zeros(2), np.zeros(2, int), np.ones(1)), 0.5, "different lengths"),
    ],
)
def test_a_split_that_cannot_be_says_why(data, share, fault):
    with pytest.raises(ValueError, match=fault):
        datasets.stratified_split(data, test_fraction=share, seed=0)
