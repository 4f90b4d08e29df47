"""MNIST and Fashion-MNIST: what is published where, where it is looked for first, and what it must hash to."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fnnet.datasets._places import cache, expanded, roots
from fnnet.datasets.data_error import DataError
from fnnet.datasets.download import fetch
from fnnet.datasets.idx import decode, encode, labeled, read_content, read_verified, verified
from fnnet.protocols import Batch

MNIST_CLASSES = ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")
FASHION_MNIST_CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)

_TRAIN = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte")
_TEST = ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
_KERAS_ARRAYS: Mapping[str, str] = dict(zip(_TRAIN + _TEST, ("x_train", "y_train", "x_test", "y_test"), strict=True))
_CLASSES = 10


@dataclass(frozen=True)
class PublishedSet:
    """A published data set.

    name         its folder in `FNNET_DATA` and in fnnet's cache
    torchvision  its folder where torchvision keeps it
    keras        its folder, or its npz file, where Keras keeps it
    mirrors      addresses that end in "/", tried in this order
    sha256       of the decompressed content of each file; the keys are the files' names without .gz
    """

    name: str
    torchvision: str
    keras: str
    mirrors: tuple[str, ...]
    sha256: Mapping[str, str]


MNIST = PublishedSet(
    name="mnist",
    torchvision="MNIST",
    keras="mnist.npz",
    mirrors=(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    sha256={
        "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    },
)

FASHION_MNIST = PublishedSet(
    name="fashion_mnist",
    torchvision="FashionMNIST",
    keras="fashion-mnist",
    mirrors=(
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
        # The authors' own bucket. Its website endpoint has no https; the hash is what protects.
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    ),
    sha256={
        "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    },
)


def mnist() -> tuple[Batch, Batch]:
    """Return the MNIST digits: `train, test = fnnet.datasets.mnist()`.

    train  Batch(x=(60000, 28, 28) uint8, y=(60000,) int32 in 0..9), read-only
    test   Batch of 10,000 rows

    Each of the four files is looked for in `FNNET_DATA`, in `data/` under the current folder, in
    Keras's cache and in fnnet's own (`candidates` lists them in order), and downloaded into fnnet's
    cache if it is nowhere. Its SHA-256 is checked wherever it came from. Raises `DataError` if a file
    that was found is damaged, or if none was found and no mirror answered.

    Source: Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST database of handwritten digits", 1998.
    """
    return load(MNIST)


def fashion_mnist() -> tuple[Batch, Batch]:
    """Return Fashion-MNIST, images of clothes; shapes, places and errors as in `mnist`.

    Source: H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST: a Novel Image Dataset for Benchmarking
    Machine Learning Algorithms", arXiv:1708.07747, 2017, MIT license.
    """
    return load(FASHION_MNIST)


def load(published: PublishedSet) -> tuple[Batch, Batch]:
    """Return the training and the test set of `published`, as `mnist` says."""
    return _load_part(published, *_TRAIN), _load_part(published, *_TEST)


def _load_part(published: PublishedSet, images: str, labels: str) -> Batch:
    x_file, x = _find(published, images)
    y_file, y = _find(published, labels)
    return labeled(x, y, x_file, y_file, _CLASSES)


def _find(published: PublishedSet, name: str) -> tuple[Path, np.ndarray]:
    """Return the first file that there is, and its array. A damaged file is an error, not a miss."""
    for file in candidates(published, name):
        if os.path.isfile(file):
            return file, _read(file, name, published.sha256[name])
    file = _download(published, name)
    return file, _read(file, name, published.sha256[name])


def _read(file: Path, name: str, sha256: str) -> np.ndarray:
    try:
        content = _npz_content(file, name) if file.suffix == ".npz" else read_content(file)
        return decode(verified(content, file, sha256))
    except DataError as error:
        raise DataError(file, f"{error.fault}; delete it, or put the published file there") from error


def _npz_content(file: Path, name: str) -> bytes:
    """Return one array of Keras' npz file as the IDX file it was made from."""
    try:
        # Opened here: np.load leaves the file open when it is not a zip.
        with open(file, "rb") as opened, np.load(opened, allow_pickle=False) as arrays:
            return encode(arrays[_KERAS_ARRAYS[name]])
    except Exception as error:  # zipfile, zlib and NumPy have a dozen types for a damaged file
        raise DataError(file, f"not a readable npz ({error})") from error


def _download(published: PublishedSet, name: str) -> Path:
    def check(file: Path) -> None:
        read_verified(file, published.sha256[name])

    try:
        addresses = [f"{mirror}{name}.gz" for mirror in published.mirrors]
        return fetch(cache() / published.name / f"{name}.gz", addresses, check)
    except DataError as error:
        raise DataError(f"{published.name}/{name}.gz", _nowhere(published, name, error)) from error


def _nowhere(published: PublishedSet, name: str, error: DataError) -> str:
    files = candidates(published, name)
    searched = dict.fromkeys(str(file if file.suffix == ".npz" else file.parent) for file in files)
    return (
        f"found nowhere, and {error.fault}"
        + "\n  ".join(["\nLooked in, packed and unpacked:", *searched])
        + f"\nTo do: set FNNET_DATA to a folder that holds {published.name}/{name}.gz"
    )


def candidates(published: PublishedSet, name: str) -> Iterator[Path]:
    """Yield the files that may hold `name`, in the order in which they are looked for."""
    for place in _places(published):
        yield from (place,) if place.suffix == ".npz" else (place / name, place / f"{name}.gz")


def _places(published: PublishedSet) -> Iterator[Path]:
    for root in roots():
        # Not the root itself: the files of MNIST and of Fashion-MNIST have the same names.
        yield from (root / published.name, root / published.torchvision / "raw")
    yield _keras() / published.keras
    yield cache() / published.name


def _keras() -> Path:
    return expanded(os.environ.get("KERAS_HOME") or "~/.keras") / "datasets"
