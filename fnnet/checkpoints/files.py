"""The file itself: its bytes, its SHA-256, and how it gets onto the disk whole or not at all.

A checkpoint is a safetensors file with one metadata key, `fnnet`, whose text is a JSON object (the document)
that begins with `"sha256"`. That digest is taken over the whole file, header and payload, with 64 zeros in place of the
digest. safetensors and PyTorch open it as any other file of tensors.
"""

import contextlib
import errno
import hashlib
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy

try:
    import fcntl
except ImportError:  # Windows: no advisory locks
    fcntl = None

DTYPES: dict[str, Any] = {
    "BOOL": np.bool_, "I8": np.int8, "U8": np.uint8, "I16": np.int16, "U16": np.uint16, "I32": np.int32,
    "U32": np.uint32, "I64": np.int64, "U64": np.uint64, "F16": np.float16, "BF16": jnp.bfloat16, "F32": np.float32,
    "F64": np.float64, "C64": np.complex64, "F8_E4M3": jnp.float8_e4m3fn, "F8_E5M2": jnp.float8_e5m2,
}  # fmt: skip
"""What safetensors calls the dtypes that it can keep."""

_BEGIN = b'{"__metadata__":{"fnnet":"{\\"sha256\\":\\"'
_DIGEST = slice(8 + len(_BEGIN), 8 + len(_BEGIN) + 64)
_LONGEST_HEADER = 100_000_000  # safetensors' own limit
_NO_LINKS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)  # nor wait for who reads from a pipe
_NOT_OURS = "{} is a link, or not an ordinary file: nothing is written through it; delete it"


class CheckpointError(RuntimeError):
    """A checkpoint that cannot be written, or a file that is not a whole checkpoint; says which and what to do."""


def pack(document: dict[str, Any], arrays: dict[str, np.ndarray]) -> bytearray:
    """The bytes of a checkpoint: equal documents and arrays give equal bytes."""
    text = json.dumps({"sha256": "0" * 64, **document}, separators=(",", ":"), allow_nan=False)
    content = bytearray(safetensors.numpy.save(arrays, {"fnnet": text}))
    if not content.startswith(_BEGIN, 8):
        raise CheckpointError("this version of safetensors does not put the metadata first; install another")
    content[_DIGEST] = _digest_of(content)
    return content


def _digest_of(content: bytes | bytearray) -> bytes:
    """SHA-256 of a file with 64 zeros in place of the digest, in hexadecimal."""
    digest, view = hashlib.sha256(), memoryview(content)
    for part in (view[: _DIGEST.start], b"0" * 64, view[_DIGEST.stop :]):
        digest.update(part)
    return digest.hexdigest().encode()


def unpack(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """(document, arrays) of a file in which every bit is as it was written.

    Nothing is read before the sizes in the header add up to the size of the file, nothing is decoded
    before the SHA-256 is right. Raises CheckpointError or OSError, or what a parser raises for a file
    that was made malformed on purpose, with a right digest.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise CheckpointError("expected a file, found something else (a folder? then name a file in it)")
    with open(path, "rb") as file:
        metadata = _read_header(file, os.fstat(file.fileno()).st_size)
        file.seek(0)
        content = file.read()
    if _digest_of(content) != content[_DIGEST]:
        raise CheckpointError("damaged: the SHA-256 is not that of the file's content; use an earlier checkpoint")
    tensors = safetensors.deserialize(content)
    return _json(metadata), {name: _array(**tensor) for name, tensor in tensors}


def _read_header(file: BinaryIO, size: int) -> str:
    """The metadata's text, once the sizes in the header add up to the file's."""
    begin = file.read(_DIGEST.stop)
    length = int.from_bytes(begin[:8], "little")
    if size < _DIGEST.stop or length > min(size - 8, _LONGEST_HEADER):
        raise CheckpointError(f"not a whole checkpoint: {size} bytes, of which a header of {length}; cut off?")
    if begin[8 : _DIGEST.start] != _BEGIN or length < _DIGEST.stop - 8:
        raise CheckpointError("not a checkpoint of fnnet: its header does not begin as one does")
    header = _json((begin[8:] + file.read(length - len(begin) + 8)).decode())
    metadata = header.pop("__metadata__")
    if metadata.keys() != {"fnnet"}:
        raise CheckpointError(f"malformed: expected one metadata key, fnnet, got {list(metadata)}")
    for name, tensor in header.items():
        if tensor.keys() != {"dtype", "shape", "data_offsets"}:
            raise CheckpointError(f"malformed: tensor {name} has the keys {list(tensor)}")
    announced = max((tensor["data_offsets"][1] for tensor in header.values()), default=0)
    if announced != size - 8 - length:
        raise CheckpointError(f"not a whole checkpoint: {size - 8 - length} bytes of tensors, {announced} announced")
    return metadata["fnnet"]


def _json(text: str) -> dict[str, Any]:
    """A JSON object, strictly: no key twice, no NaN."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) != len(pairs):
            raise CheckpointError(f"malformed: a key occurs twice in {[name for name, _ in pairs]}")
        return dict(pairs)

    def constant(name: str) -> None:
        raise CheckpointError(f"malformed: {name} is not JSON")

    value = json.loads(text, object_pairs_hook=once, parse_constant=constant)
    if not isinstance(value, dict):
        raise CheckpointError(f"malformed: expected a JSON object, got {type(value).__name__}")
    return value


def _array(dtype: str, shape: list[int], data: Any) -> np.ndarray:
    if dtype not in DTYPES:
        raise CheckpointError(f"malformed: dtype {dtype} is not one of {', '.join(DTYPES)}")
    return np.frombuffer(data, DTYPES[dtype]).reshape(shape)


def write(path: Path, content: bytes | bytearray) -> None:
    """Put content at path, durably and atomically: until then, and if anything fails, the old file stays.

    `<name>.tmp` is locked and filled, its bytes are forced to the disk, then it takes the name, and the
    folder is forced to the disk. A `.tmp` that a killed process left is written over. Raises
    CheckpointError if another process is saving to the same path, OSError if the disk refuses.
    """
    make_folder(path.parent)
    temporary = path.with_name(path.name + ".tmp")
    with locked(temporary, f"another process is saving to {path}; give each its own file or folder") as file:
        try:
            _fill(file, content)
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
    try:
        _sync(path.parent)
    except OSError as error:
        raise CheckpointError(
            f"saved, but {error.strerror} for the folder: after a power cut it may be lost"
        ) from error


def _fill(file: int, content: bytes | bytearray) -> None:
    os.ftruncate(file, 0)
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(file, rest) :]
    os.fsync(file)


@contextlib.contextmanager
def locked(path: Path, otherwise: str) -> Iterator[int]:
    """The file at path, open for writing and locked until the block ends or the process dies, however it dies.

    Raises CheckpointError(otherwise) at once if another has the lock. The lock is advisory (`flock`):
    it keeps out those who ask for it, and on Windows, which has none, nobody. CheckpointError too if path is a link
    or not an ordinary file: what it leads to stays as it is.
    """
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0) | _NO_LINKS, 0o666)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise CheckpointError(_NOT_OURS.format(path)) from error
        raise
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
            raise CheckpointError(_NOT_OURS.format(path))
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                still_there = os.path.samestat(status, os.stat(path))
            except (BlockingIOError, FileNotFoundError):
                still_there = False
            if not still_there:  # or another had it and has just renamed it
                raise CheckpointError(otherwise)
        yield file
    finally:
        os.close(file)


def make_folder(folder: Path) -> None:
    """The folder and those above it, durably."""
    missing = [f for f in (folder, *folder.parents) if not f.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for new in missing:
        _sync(new.parent)


def _sync(folder: Path) -> None:
    """Force a folder's list of names to the disk, where a system can (Windows cannot)."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
