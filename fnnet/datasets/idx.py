"""IDX, the file format of MNIST: a strict reader, the writer of the same bytes, images with their labels.

    bytes 0, 1   zero
    byte  2      element type: 08 uint8, 09 int8, 0B int16, 0C int32, 0D float32, 0E float64
    byte  3      rank R
    4 R bytes    the R sizes, unsigned 32-bit
    the rest     the elements in C order; everything is big-endian

Source: Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST database of handwritten digits", section
"File formats".
"""

import hashlib
import math
import os
import struct
import zlib
from io import BufferedReader

import numpy as np

from fnnet.datasets.data_error import DataError
from fnnet.protocols import Batch

MAX_BYTES = 2**31
_MAX_RANK = 64  # what NumPy can hold
_BLOCK = 2**20
_ALIGNMENT = 64
_MOST_INFLATED = 1032
_GZIP = b"\x1f\x8b"
_TYPES = {
    0x08: np.dtype("u1"),
    0x09: np.dtype("i1"),
    0x0B: np.dtype(">i2"),
    0x0C: np.dtype(">i4"),
    0x0D: np.dtype(">f4"),
    0x0E: np.dtype(">f8"),
}
_CODES = {dtype: code for code, dtype in _TYPES.items()}


def read_idx(path: str | os.PathLike[str]) -> np.ndarray:
    """Read one IDX file, gzip-compressed or not (its first bytes decide, not its name).

    Returns an array of the shape and element type that the header declares, in native byte order
    and read-only. Raises `DataError` that names the file and the fault if the file is anything
    but one complete IDX array: cut short, too long, of unknown type, larger than 2 GiB, damaged.
    """
    return decode(read_content(path))


def read_idx_pair(images: str | os.PathLike[str], labels: str | os.PathLike[str], *, classes: int = 10) -> Batch:
    """Read N images and their N labels from two IDX files: MNIST's relatives, or a set of your own.

    Returns Batch(x=(N, ...) as stored, y=(N,) int32 in 0..classes-1), read-only. Raises `DataError`
    as `read_idx` does, and if the counts differ or a label is out of range.
    """
    return labeled(read_idx(images), read_idx(labels), images, labels, classes)


def labeled(
    x: np.ndarray,
    y: np.ndarray,
    images: str | os.PathLike[str],
    labels: str | os.PathLike[str],
    classes: int,
) -> Batch:
    """Return Batch(x, y as int32), or raise `DataError`; `images` and `labels` are the files to name."""
    if y.ndim != 1 or y.dtype.kind not in "iu":
        raise DataError(labels, f"holds {y.dtype} {y.shape}, not (N,) integer labels")
    if x.ndim == 0:
        raise DataError(images, "holds a single number, not (N, ...) images")
    if len(x) != len(y):
        raise DataError(labels, f"holds {len(y)} labels for the {len(x)} images of {os.fspath(images)}")
    wrong = np.flatnonzero((y < 0) | (y >= classes))
    if wrong.size:
        raise DataError(labels, f"label {y[wrong[0]]} in row {wrong[0]} is not in 0..{classes - 1}")
    y = y.astype(np.int32)
    y.setflags(write=False)
    return Batch(x, y)


def read_verified(path: str | os.PathLike[str], sha256: str) -> np.ndarray:
    """Read an IDX file of which the SHA-256 of the decompressed content is known.

    Returns the array, read-only. Raises `DataError` as `read_idx` does, and on any other content.
    """
    return decode(verified(read_content(path), path, sha256))


def verified(content: bytes | memoryview, path: str | os.PathLike[str], sha256: str) -> bytes | memoryview:
    """Return `content` if its SHA-256 is `sha256`; raise `DataError` that names `path` otherwise."""
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise DataError(path, f"SHA-256 of its content is {found}, expected {sha256}")
    return content


def read_content(path: str | os.PathLike[str]) -> memoryview:
    """Return the decompressed bytes of an IDX file, header included, read-only, after every check of `read_idx`."""
    try:
        if not os.path.isfile(path):
            raise _Fault("is not a file" if os.path.exists(path) else "no such file")
        with open(path, "rb") as file:
            return _content(file)
    except _Fault as fault:
        raise DataError(path, str(fault)) from None
    except zlib.error as error:
        raise DataError(path, f"damaged gzip ({error})") from error
    except MemoryError as error:
        raise DataError(path, "does not fit into memory") from error
    except OSError as error:
        raise DataError(path, f"cannot be read ({error.strerror or error})") from error


def decode(content: bytes | memoryview) -> np.ndarray:
    """Return the array in `content`, which `read_content` or `encode` made; read-only, native byte order."""
    dtype, rank = _TYPES[content[2]], content[3]
    shape = struct.unpack_from(f">{rank}I", content, 4)
    array = np.ndarray(shape, dtype, content, offset=4 + 4 * rank)
    array = array.astype(dtype.newbyteorder("="), copy=False)
    array.setflags(write=False)
    return array


def encode(array: np.ndarray) -> bytes:
    """Return `array` as the bytes of an IDX file. ValueError for a dtype that IDX does not have."""
    dtype = array.dtype.newbyteorder(">")
    if dtype not in _CODES:
        raise ValueError(f"encode: IDX has no element type for {array.dtype}")
    header = struct.pack(f">2xBB{array.ndim}I", _CODES[dtype], array.ndim, *array.shape)
    return header + array.astype(dtype).tobytes()


class _Fault(Exception):
    """What is wrong, before the file's name is put to it."""


def _content(file: BufferedReader) -> memoryview:
    is_gzip = file.read(2) == _GZIP
    file.seek(0)
    stream = _Gzip(file) if is_gzip else _Raw(file)
    header, size = _header(stream)
    room, content = _allocated(len(header), min(size, stream.most()))
    content[: len(header)] = header
    _check_complete(stream.read_into(content[len(header) :]), size, "the body")
    stream.finish()
    room.setflags(write=False)  # and so are the arrays in it
    return content.toreadonly()


def _allocated(header: int, body: int) -> tuple[np.ndarray, memoryview]:
    """Return memory, and the part of it for header and body; the body begins at a multiple of 64 bytes.

    JAX uses such an array in place; any other it copies.
    """
    room = np.empty(header + body + _ALIGNMENT, np.uint8)
    start = -(room.ctypes.data + header) % _ALIGNMENT
    return room, room.data[start : start + header + body]


def _header(stream: "_Raw | _Gzip") -> tuple[bytes, int]:
    """Return the header's bytes and the size in bytes of the body that it declares."""
    magic = _exactly(stream, 4, "the magic number")
    _check_magic(magic)
    code, rank = magic[2], magic[3]
    sizes = _exactly(stream, 4 * rank, "the header")
    shape = struct.unpack(f">{rank}I", sizes)
    # Sizes of zero count as one: NumPy refuses an empty array with absurd other sizes too.
    if math.prod(max(n, 1) for n in shape) * _TYPES[code].itemsize > MAX_BYTES:
        raise _Fault(f"the header declares {_TYPES[code].name} {shape}, more than {MAX_BYTES} bytes")
    return magic + sizes, math.prod(shape) * _TYPES[code].itemsize


def _check_magic(magic: bytes) -> None:
    if magic.lstrip().startswith(b"<"):
        raise _Fault("is an HTML or XML page, not IDX")
    if magic[:2] != b"\0\0":
        raise _Fault(f"wrong magic number {magic.hex()}: IDX begins with two zero bytes")
    if magic[2] not in _TYPES:
        known = " ".join(f"{code:02x}" for code in _TYPES)
        raise _Fault(f"unknown element type {magic[2]:02x}: IDX has {known}")
    if magic[3] > _MAX_RANK:
        raise _Fault(f"rank {magic[3]}: NumPy holds at most {_MAX_RANK} dimensions")


def _exactly(stream: "_Raw | _Gzip", size: int, part: str) -> bytes:
    data = bytearray(size)
    _check_complete(stream.read_into(memoryview(data)), size, part)
    return bytes(data)


def _check_complete(found: int, size: int, part: str) -> None:
    if found < size:
        raise _Fault(f"{part} is cut short: {found} of {size} bytes")


class _Raw:
    """An uncompressed file."""

    def __init__(self, file: BufferedReader):
        self._file = file
        self._left = os.fstat(file.fileno()).st_size

    def most(self) -> int:
        """At most so many bytes can follow: nothing is allocated because a header says so."""
        return self._left

    def read_into(self, room: memoryview) -> int:
        found = self._file.readinto(room)
        self._left -= found
        return found

    def finish(self) -> None:
        if self._left:
            raise _Fault(f"{self._left} trailing bytes after the array that the header declares")


class _Gzip:
    """A file of exactly one gzip member.

    zlib is used directly: it bounds what it inflates, verifies the member's CRC and length where
    the member ends, and hands back what follows. The `gzip` module reads on over further members.
    """

    def __init__(self, file: BufferedReader):
        self._file = file
        self._inflate = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)

    def most(self) -> int:
        """As in `_Raw`: two bits are the least that stands for 258 bytes (RFC 1951)."""
        return _MOST_INFLATED * os.fstat(self._file.fileno()).st_size

    def read_into(self, room: memoryview) -> int:
        found = 0
        while found < len(room) and not self._inflate.eof:
            block = self._inflate.unconsumed_tail or self._file.read(_BLOCK)
            part = self._inflate.decompress(block, min(len(room) - found, _BLOCK))
            if not block and not part:
                break  # the file ends before the member does
            room[found : found + len(part)] = part
            found += len(part)
        return found

    def finish(self) -> None:
        if self.read_into(memoryview(bytearray(1))):
            raise _Fault("trailing bytes: the content goes on after the array that the header declares")
        if not self._inflate.eof:
            raise _Fault("gzip is cut short: its checksum is missing")
        rest = self._inflate.unused_data + self._file.read(len(_GZIP))
        if rest.startswith(_GZIP):
            raise _Fault("a second gzip member follows the first")
        if rest:
            raise _Fault("trailing bytes after the gzip member")
