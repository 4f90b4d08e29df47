"""The digits that come with the package: a real data set without a network."""

import os
from pathlib import Path

from fnnet.datasets.data_error import DataError
from fnnet.datasets.idx import labeled, read_verified
from fnnet.protocols import Batch

DIGITS_CLASSES = ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")

_IMAGES = "digits-images-idx3-ubyte.gz"
_LABELS = "digits-labels-idx1-ubyte.gz"
_SHA256 = {
    _IMAGES: "359cd13f0f514122884198b78a131df597421cbf5e93a76678fa96fc548f0d96",
    _LABELS: "ce71631c1f31ce56fa54f31d1d498fafacff59b001e6c30c4a5e29508aa277ad",
}
# A built wheel has the files inside the package, an editable install beside it.
_FOLDERS = (
    Path(__file__).parent / "embedded" / "digits",
    Path(__file__).parents[2] / "data" / "digits",
)


def digits() -> Batch:
    """Return 1,797 handwritten digits of 13 people, 8 x 8 pixels each, in the order of the original file.

    Batch(x=(1797, 8, 8) uint8 in 0..16, y=(1797,) int32 in 0..9), read-only. Rows that are near each
    other tend to be of the same person: `data/digits/README.md` says what that does to a split.
    Raises `DataError` if the files are missing or are not the ones that were released.

    Source: E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning
    Repository, 1998 (its test set), CC BY 4.0.
    """
    images, labels = _embedded(_IMAGES), _embedded(_LABELS)
    x, y = read_verified(images, _SHA256[_IMAGES]), read_verified(labels, _SHA256[_LABELS])
    return labeled(x, y, images, labels, len(DIGITS_CLASSES))


def _embedded(name: str) -> Path:
    for folder in _FOLDERS:
        if os.path.isfile(folder / name):
            return folder / name
    raise DataError(name, f"is neither in {_FOLDERS[0]} nor in {_FOLDERS[1]}: install fnnet again")
