"""Published data sets of four IDX files: where each file is looked for before it is downloaded."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fnnet.datasets.download import fetch
from fnnet.datasets.errors import DataError
from fnnet.datasets.idx import decode, encode, read_content
from fnnet.datasets.pairs import labelled
from fnnet.datasets.verify import read_verified, verified
from fnnet.protocols import Batch

_TRAIN = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte")
_TEST = ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
_KERAS_ARRAYS: Mapping[str, str] = dict(zip(_TRAIN + _TEST, ("x_train", "y_train", "x_test", "y_test"), strict=True))
_CLASSES = 10


@dataclass(frozen=True)
class Source:
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


def load(source: Source) -> tuple[Batch, Batch]:
    """Return the training and the test set of `source`, as `mnist` says."""
    return _load_part(source, *_TRAIN), _load_part(source, *_TEST)


def _load_part(source: Source, images: str, labels: str) -> Batch:
    x_file, x = _find(source, images)
    y_file, y = _find(source, labels)
    return labelled(x, y, x_file, y_file, _CLASSES)


def _find(source: Source, name: str) -> tuple[Path, np.ndarray]:
    """Return the first file that there is, and its array. A damaged file is an error, not a miss."""
    for file in candidates(source, name):
        if os.path.isfile(file):
            return file, _read(file, name, source.sha256[name])
    file = _download(source, name)
    return file, _read(file, name, source.sha256[name])


def _read(file: Path, name: str, sha256: str) -> np.ndarray:
    try:
        content = _npz_content(file, name) if file.suffix == ".npz" else read_content(file)
        return decode(verified(content, file, sha256))
    except DataError as error:
        raise DataError(file, f"{error.fault}; delete it, or put the published file there") from error


def _npz_content(file: Path, name: str) -> bytes:
    """Return one array of Keras' npz file as the IDX file it was made from."""
    try:
        # Opened here: np.load leaves the file open when it is no zip.
        with open(file, "rb") as opened, np.load(opened, allow_pickle=False) as arrays:
            return encode(arrays[_KERAS_ARRAYS[name]])
    except Exception as error:  # zipfile, zlib and NumPy have a dozen types for a damaged file
        raise DataError(file, f"not a readable npz ({error})") from error


def _download(source: Source, name: str) -> Path:
    def check(file: Path) -> None:
        read_verified(file, source.sha256[name])

    try:
        return fetch(f"{name}.gz", source.mirrors, _cache() / source.name, check)
    except DataError as error:
        raise DataError(f"{source.name}/{name}.gz", _nowhere(source, name, error)) from error


def _nowhere(source: Source, name: str, error: DataError) -> str:
    files = candidates(source, name)
    looked = dict.fromkeys(str(file if file.suffix == ".npz" else file.parent) for file in files)
    return (
        f"found nowhere, and {error.fault}"
        + "\n  ".join(["\nLooked in, packed and unpacked:", *looked])
        + f"\nTo do: set FNNET_DATA to a folder that holds {source.name}/{name}.gz"
    )


def candidates(source: Source, name: str) -> Iterator[Path]:
    """Yield the files that may hold `name`, in the order in which they are looked for."""
    for place in _places(source):
        yield from (place,) if place.suffix == ".npz" else (place / name, place / f"{name}.gz")


def _places(source: Source) -> Iterator[Path]:
    for root in _roots():
        # Not the root itself: the files of MNIST and of Fashion-MNIST have the same names.
        yield from (root / source.name, root / source.torchvision / "raw")
    yield _keras() / source.keras
    yield _cache() / source.name


def _roots() -> list[Path]:
    chosen = os.environ.get("FNNET_DATA")
    return [*([_expanded(chosen)] if chosen else []), Path("data")]


def _keras() -> Path:
    return _expanded(os.environ.get("KERAS_HOME") or "~/.keras") / "datasets"


def _cache() -> Path:
    import pooch  # here, not above: it costs as much as the rest of the package

    return _expanded(pooch.os_cache("fnnet"))


def _expanded(path: str | Path) -> Path:
    return Path(os.path.expanduser(path))  # Path.expanduser raises where there is no home
