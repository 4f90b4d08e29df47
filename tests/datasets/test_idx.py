"""IDX files: what is read is right to the last bit, and what is not right is not read."""

import gzip
import os
import pickle
import struct
import tracemalloc
import zlib
from pathlib import Path

import hypothesis.extra.numpy as hnp
import jax
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fnnet import datasets
from fnnet.datasets import DataError, idx
from tests.datasets.loading import CODES, assert_read_only, assert_same, idx_bytes

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
