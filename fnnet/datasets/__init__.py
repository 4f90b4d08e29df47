"""Data as read-only NumPy arrays: images, checked to the last byte before anybody sees them, and toy problems."""

from fnnet.datasets.errors import DataError
from fnnet.datasets.handwriting import digit_from_image, digits_from_image, find_digits
from fnnet.datasets.idx import read_idx
from fnnet.datasets.kaggle import read_kaggle_digits, read_kaggle_images, write_submission
from fnnet.datasets.mnists import FASHION_MNIST_CLASSES, MNIST_CLASSES, fashion_mnist, mnist
from fnnet.datasets.optdigits import DIGITS_CLASSES, digits
from fnnet.datasets.pairs import read_idx_pair
from fnnet.datasets.split import stratified_split
from fnnet.datasets.toys import blobs, circles, sine, spirals, two_moons, xor

__all__ = [
    "DIGITS_CLASSES",
    "FASHION_MNIST_CLASSES",
    "MNIST_CLASSES",
    "DataError",
    "blobs",
    "circles",
    "digit_from_image",
    "digits",
    "digits_from_image",
    "fashion_mnist",
    "find_digits",
    "mnist",
    "read_idx",
    "read_idx_pair",
    "read_kaggle_digits",
    "read_kaggle_images",
    "sine",
    "spirals",
    "stratified_split",
    "two_moons",
    "write_submission",
    "xor",
]
