# ruff: noqa: F401  (fnnet.datasets passes these names on)
"""Where data come from, for `fnnet.datasets` to pass on."""

from fnnet.datasets._digits import DIGITS_CLASSES, digits
from fnnet.datasets._mnist import FASHION_MNIST_CLASSES, MNIST_CLASSES, fashion_mnist, mnist
from fnnet.datasets._text import text
from fnnet.datasets.handwriting import digit_from_image, digits_from_image, find_digits
from fnnet.datasets.idx import read_idx, read_idx_pair
from fnnet.datasets.image_files import image_folder
from fnnet.datasets.kaggle import read_kaggle_digits, read_kaggle_images, write_submission
from fnnet.datasets.toy_problems import blobs, circles, sine, spirals, two_moons, xor
