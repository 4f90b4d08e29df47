"""Image files as arrays: decoded safely, turned as EXIF says, resized, or refused with a reason.

Needs Pillow (extra `experiments`).
"""

import io
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from fnnet.datasets.data_error import DataError
from fnnet.protocols import Batch

if TYPE_CHECKING:
    from PIL import Image

ImageLike: TypeAlias = str | os.PathLike[str] | io.BufferedIOBase | np.ndarray

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")  # none that runs a program to be read, as EPS does
MAX_PIXELS = 64_000_000  # more than phones take; RGBA of that size is 256 MB
WORKING_SIDE = 512
_SMALLEST_SIDE = 8
_LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601


def image_folder(
    path: str | os.PathLike[str], *, size: int | tuple[int, int] | None = None, color: bool = True
) -> tuple[Batch, tuple[str, ...]]:
    """Read a folder with one subfolder of images per class: `data, classes = image_folder("flowers", size=64)`.

    size   (height, width), or one number for both: every image is resized to it, whatever its proportions.
           None: all have the same size already
    color  (N, H, W, 3) in RGB; else (N, H, W) in gray

    Returns Batch(x uint8, y=(N,) int32), read-only, and the names of the classes, which are those of the subfolders
    in alphabetical order. Images are turned upright (EXIF), transparent ones put on white. Files whose names begin with
    a dot, and those beside the subfolders, are left out.

    Raises `DataError` that names the file if it is not an image (PNG, JPEG, WEBP, GIF, BMP, TIFF, PPM), is damaged, has
    more than 8 bits per channel or, without `size`, another size than the first; ValueError for an impossible size;
    ImportError without Pillow.
    """
    sides = None if size is None else _sides(size)
    files = _class_files(Path(path))
    images = [_sized(_open(file, str(file), _upright), sides, color) for _, file in files]
    for image, (_, file) in zip(images, files, strict=True):
        if image.shape != images[0].shape:
            raise DataError(
                file,
                f"has {image.shape[0]} x {image.shape[1]} pixels (height x width), {files[0][1]} has "
                f"{images[0].shape[0]} x {images[0].shape[1]}; make them alike with size=(height, width)",
            )
    names = tuple(dict.fromkeys(name for name, _ in files))
    x, y = np.stack(images), np.array([names.index(name) for name, _ in files], np.int32)
    for part in (x, y):
        part.setflags(write=False)
    return Batch(x, y), names


def _sides(size: Any) -> tuple[int, int]:
    """(height, width), or ValueError."""
    sides = tuple(size) if isinstance(size, tuple | list) else (size, size)
    if len(sides) != 2 or not all(isinstance(n, int | np.integer) and not isinstance(n, bool) and n > 0 for n in sides):
        raise ValueError(f"image_folder: expected size to be (height, width), or an int above 0 for both, got {size!r}")
    return int(sides[0]), int(sides[1])


def _class_files(path: Path) -> list[tuple[str, Path]]:
    """(class, file) of every image file, sorted."""
    if not path.is_dir():
        raise DataError(path, "is not a folder" if path.exists() else "no such folder")
    folders = sorted(folder for folder in path.iterdir() if folder.is_dir() and not folder.name.startswith("."))
    if not folders:
        raise DataError(path, "has no subfolders; expected one per class, with its images")
    files = [(folder.name, file) for folder in folders for file in _visible(folder)]
    for name, file in files:
        if file.is_dir():
            raise DataError(file, f"is a folder in class {name}; expected images only")
    return files


def _visible(folder: Path) -> list[Path]:
    files = sorted(file for file in folder.iterdir() if not file.name.startswith("."))
    if not files:
        raise DataError(folder, "has no images; fill it, or remove the folder")
    return files


def _upright(image: "Image.Image", name: str) -> "Image.Image":
    """RGBA, turned as EXIF says."""
    from PIL import ImageOps

    if image.mode[0] in "IF":
        raise DataError(name, f"has more than 8 bits per channel (mode {image.mode}): save it with 8")
    return ImageOps.exif_transpose(image).convert("RGBA")


def _sized(image: "Image.Image", size: tuple[int, int] | None, color: bool) -> np.ndarray:
    """(H, W, 3) or (H, W) uint8 of an RGBA image, on white."""
    page = pillow().alpha_composite(pillow().new("RGBA", image.size, "white"), image).convert("RGB" if color else "L")
    if size is not None:
        page = page.resize(size[::-1], pillow().Resampling.BILINEAR)
    return np.asarray(page)


def read_grey(source: ImageLike) -> np.ndarray:
    """Return an image as (H, W) float32, read-only: 0 black, 1 white, no side longer than 512 pixels.

    source  a path, a binary file, or an array: (H, W) of any real dtype, stretched to 0..1 unless uint8; or
            (H, W, 3 or 4) uint8, RGB with or without alpha

    An image that is mostly transparent is put on black or white, whichever is farther from what is drawn;
    the rare transparent pixels of another have the color that is most common in it. Raises `DataError` that
    names the file if it is not an image in one of FORMATS, is damaged, has more than 64 million pixels, or
    is narrower than 8 pixels; ImportError without Pillow.
    """
    name = name_of(source)
    image = _reduced(_from_array(source, name) if isinstance(source, np.ndarray) else _decode(source, name), name)
    grey = np.asarray(image, np.float32) if image.mode == "F" else _on_paper(np.asarray(image, np.float32) / 255)
    grey.setflags(write=False)
    return grey


def name_of(source: ImageLike) -> str:
    """What errors call the source."""
    if isinstance(source, (str, os.PathLike)):
        return os.fspath(source)
    return "array" if isinstance(source, np.ndarray) else str(getattr(source, "name", "file object"))


def pillow() -> Any:
    """The module PIL.Image, or an ImportError that says what to install."""
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError("reading images needs Pillow: pip install 'fnnet[experiments]'") from error
    return Image


def _decode(source: str | os.PathLike[str] | io.BufferedIOBase, name: str) -> "Image.Image":
    """The file's image, upright, as F (more than 8 bits deep, stretched to 0..1) or RGBA."""
    return _open(source, name, _deep_or_upright)


def _deep_or_upright(image: "Image.Image", name: str) -> "Image.Image":
    from PIL import ImageOps

    _check_size(image.size, name)
    image = ImageOps.exif_transpose(image)
    return _stretched(np.asarray(image), name) if image.mode[0] in "IF" else image.convert("RGBA")


def _open(
    source: str | os.PathLike[str] | io.BufferedIOBase, name: str, use: Callable[["Image.Image", str], "Image.Image"]
) -> "Image.Image":
    """use(the file's first image, name), with everything that Pillow may raise as a `DataError`."""
    Image = pillow()
    bombs = (Image.DecompressionBombWarning, Image.DecompressionBombError)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(source, formats=FORMATS) as image:
                return use(image, name)
    except bombs as error:
        raise DataError(name, f"is larger than {MAX_PIXELS:,} pixels: make it smaller") from error
    except Image.UnidentifiedImageError as error:
        raise DataError(
            name, f"is not an image that can be read: save it as PNG or JPEG ({', '.join(FORMATS)})"
        ) from error
    except DataError:
        raise
    except FileNotFoundError as error:
        raise DataError(name, "no such file") from error
    except IsADirectoryError as error:
        raise DataError(name, "is a folder: name the image in it") from error
    except (OSError, SyntaxError, ValueError, EOFError, OverflowError) as error:  # what Pillow's decoders raise
        raise DataError(name, f"cannot be read, it may be damaged ({error}): save it again as PNG") from error


def _from_array(array: np.ndarray, name: str) -> "Image.Image":
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)):
        raise DataError(name, f"expected (height, width) or (height, width, 3 or 4), got {array.shape}")
    _check_size(array.shape[1::-1], name)
    if array.dtype == np.uint8:
        return pillow().fromarray(array).convert("RGBA")
    if array.ndim == 3 or array.dtype.kind not in "biuf":
        raise DataError(name, f"expected uint8, or real numbers in (height, width), got {array.dtype} {array.shape}")
    return _stretched(array, name)


def _check_size(size: tuple[int, ...], name: str) -> None:
    width, height = size
    if width * height > MAX_PIXELS:
        raise DataError(name, f"has {width} x {height} pixels, more than {MAX_PIXELS:,}: make it smaller")
    if min(size) < _SMALLEST_SIDE:
        raise DataError(name, f"has {width} x {height} pixels: a digit needs {_SMALLEST_SIDE} each way at least")


def _stretched(array: np.ndarray, name: str) -> "Image.Image":
    """Of whatever scale, its smallest number 0 and its largest 1."""
    values = array.astype(np.float32)
    if not np.isfinite(values).all():
        raise DataError(name, "has pixels that are NaN or infinite")
    low, high = values.min(), values.max()
    return pillow().fromarray((values - low) / (high - low if high > low else np.float32(1)))


def _reduced(image: "Image.Image", name: str) -> "Image.Image":
    scale = WORKING_SIDE / max(image.size)
    if scale >= 1:
        return image
    width, height = (round(scale * side) for side in image.size)
    if min(width, height) < _SMALLEST_SIDE:
        raise DataError(name, f"{image.size[0]} x {image.size[1]} pixels are too long and narrow: crop it")
    return image.resize((width, height), pillow().Resampling.BOX)


def _on_paper(rgba: np.ndarray) -> np.ndarray:
    """(H, W) luminance of (H, W, 4) in 0..1, with paper behind what is transparent."""
    grey, alpha = rgba[..., :3] @ _LUMINANCE, rgba[..., 3]
    if alpha.min() == 1 or alpha.max() == 0:
        return grey * alpha
    opaque = grey[alpha > alpha.max() / 2]
    drawn = np.median(opaque)
    paper = drawn if alpha.mean() > 0.5 else np.float32(drawn < 0.5)
    return grey * alpha + paper * (1 - alpha)
