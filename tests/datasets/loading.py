"""What the tests of several loaders share."""

import struct

import pytest

CODES = {"uint8": 8, "int8": 9, "int16": 11, "int32": 12, "float32": 13, "float64": 14}


def idx_bytes(array):
    """The format written down a second time, so that a slip in `idx.encode` cannot hide in a round trip."""
    header = bytes([0, 0, CODES[array.dtype.name], array.ndim])
    return (
        header
        + b"".join(struct.pack(">I", n) for n in array.shape)
        + array.astype(array.dtype.newbyteorder(">")).tobytes()
    )


def assert_same(a, b):
    assert a.dtype == b.dtype
    assert a.dtype.isnative
    assert a.shape == b.shape
    assert a.tobytes() == b.tobytes()


def assert_read_only(batch):
    for part in batch[:2]:
        assert not part.flags.writeable
        with pytest.raises(ValueError, match="read-only"):
            part[0] = 0
