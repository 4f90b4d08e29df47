"""Data as read-only NumPy arrays, checked to the last byte: tables, images, published sets, toy problems, text."""

import importlib
from typing import TYPE_CHECKING, Any

from fnnet.datasets._split import split, stratified_split
from fnnet.datasets._table import Columns, table
from fnnet.datasets._tokens import Vocabulary, characters, lines
from fnnet.datasets.data_error import DataError

if TYPE_CHECKING:
    from fnnet.datasets._digits import DIGITS_CLASSES, digits
    from fnnet.datasets._mnist import FASHION_MNIST_CLASSES, MNIST_CLASSES, fashion_mnist, mnist
    from fnnet.datasets._text import text
    from fnnet.datasets.handwriting import digit_from_image, digits_from_image, find_digits
    from fnnet.datasets.idx import read_idx, read_idx_pair
    from fnnet.datasets.image_files import image_folder
    from fnnet.datasets.kaggle import read_kaggle_digits, read_kaggle_images, write_submission
    from fnnet.datasets.toy_problems import blobs, circles, sine, spirals, two_moons, xor

__all__ = [
    "DIGITS_CLASSES",
    "FASHION_MNIST_CLASSES",
    "MNIST_CLASSES",
    "Columns",
    "DataError",
    "Vocabulary",
    "blobs",
    "characters",
    "circles",
    "digit_from_image",
    "digits",
    "digits_from_image",
    "fashion_mnist",
    "find_digits",
    "image_folder",
    "lines",
    "mnist",
    "read_idx",
    "read_idx_pair",
    "read_kaggle_digits",
    "read_kaggle_images",
    "sine",
    "spirals",
    "split",
    "stratified_split",
    "table",
    "text",
    "two_moons",
    "write_submission",
    "xor",
]


def __getattr__(name: str) -> Any:
    """What reads files or draws toy problems is imported when it is touched: most programs need one of them."""
    if name not in __all__:
        raise AttributeError(f"module 'fnnet.datasets' has no attribute {name!r}")
    return getattr(importlib.import_module("fnnet.datasets._sources"), name)
