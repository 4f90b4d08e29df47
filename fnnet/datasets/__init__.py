"""Labelled images as read-only NumPy arrays, checked to the last byte before anybody sees them."""

from fnnet.datasets.errors import DataError
from fnnet.datasets.handwriting import digit_from_image, digits_from_image, find_digits
from fnnet.datasets.idx import read_idx
from fnnet.datasets.mnists import FASHION_MNIST_CLASSES, MNIST_CLASSES, fashion_mnist, mnist
from fnnet.datasets.optdigits import DIGITS_CLASSES, digits
from fnnet.datasets.pairs import read_idx_pair
from fnnet.datasets.split import stratified_split

__all__ = [
    "DIGITS_CLASSES",
    "FASHION_MNIST_CLASSES",
    "MNIST_CLASSES",
    "DataError",
    "digit_from_image",
    "digits",
    "digits_from_image",
    "fashion_mnist",
    "find_digits",
    "mnist",
    "read_idx",
    "read_idx_pair",
    "stratified_split",
]
