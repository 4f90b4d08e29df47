"""Write the embedded digits: `python data/digits/make.py` (needs scikit-learn, which ships the UCI file).

The files that are committed were made by this script; running it again writes the same bytes, as far
as zlib does: it is zlib that chooses how to compress. The content is the same in any case.
"""

import gzip
import hashlib
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

from fnnet.datasets.idx import encode


def main(folder: Path) -> None:
    """Write both files into `folder` and print the SHA-256 of their content."""
    source = load_digits()
    write(folder / "digits-images-idx3-ubyte.gz", as_uint8(source.images))
    write(folder / "digits-labels-idx1-ubyte.gz", as_uint8(source.target))


def as_uint8(array: np.ndarray) -> np.ndarray:
    """Return `array` as uint8, having made sure that nothing is lost."""
    result = array.astype(np.uint8)
    if not np.array_equal(result, array):
        raise ValueError("make.py: the values are not whole numbers in 0..255")
    return result


def write(path: Path, array: np.ndarray) -> None:
    """Write `array` as gzip-compressed IDX, without the time and the name that gzip would add."""
    content = encode(array)
    with path.open("wb") as file, gzip.GzipFile("", "wb", 9, file, mtime=0) as packed:
        packed.write(content)
    print(f"{path.name}  {path.stat().st_size} bytes  {hashlib.sha256(content).hexdigest()}")


if __name__ == "__main__":
    main(Path(__file__).parent)
