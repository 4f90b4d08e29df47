"""Arrays whose content is known: nothing is handed over before its SHA-256 agrees."""

import hashlib
import os

import numpy as np

from fnnet.datasets.errors import DataError
from fnnet.datasets.idx import decode, read_content


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
