"""Text: one that every Python has, two that are published, and files of your own."""

import codecs
import gzip
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fnnet.datasets._places import cache, roots
from fnnet.datasets.data_error import DataError
from fnnet.datasets.download import fetch
from fnnet.datasets.idx import verified

_PYTHON = "python"
_FOLDER = "text"  # in each of the places
_GZIP = b"\x1f\x8b"


@dataclass(frozen=True)
class PublishedText:
    """A published text.

    file       its name in the folder `text` of `FNNET_DATA` and of fnnet's cache, there also with .gz
    addresses  where it is downloaded from, tried in this order
    sha256     of its decompressed content
    """

    file: str
    addresses: tuple[str, ...]
    sha256: str


PUBLISHED: dict[str | os.PathLike[str], PublishedText] = {
    "names": PublishedText(
        file="names.txt",
        addresses=(
            "https://raw.githubusercontent.com/karpathy/makemore/master/names.txt",
            "https://cdn.jsdelivr.net/gh/karpathy/makemore@master/names.txt",
        ),
        sha256="0a30b5557f192f32ab962680889aac5f6fda0f4cecf40a6d0b5694f58ea8cc4d",
    ),
    "shakespeare": PublishedText(
        file="tinyshakespeare.txt",
        addresses=(
            "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
            "https://cdn.jsdelivr.net/gh/karpathy/char-rnn@master/data/tinyshakespeare/input.txt",
        ),
        sha256="86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
    ),
}


def text(source: str | os.PathLike[str] = _PYTHON) -> str:
    """Return a text as one string: `fnnet.datasets.text()`, `text("shakespeare")`, `text("my/diary.txt")`.

    source  "python"       the topics of Python's language reference, from its standard library: about 465,000
                           characters, there without a network; another Python version has another text
            "shakespeare"  40,000 lines of Shakespeare, 1,115,394 characters, 65 different ones (tiny Shakespeare)
            "names"        32,033 given names, one per line, a to z
            a path         a file of your own in UTF-8, packed with gzip or not (its first bytes decide); a file that
                           has one of the three names is "./names"

    The two published texts are looked for as `text/tinyshakespeare.txt` and `text/names.txt`, also with .gz, in
    `FNNET_DATA`, in `data/` under the current folder and in fnnet's cache, and downloaded into the cache if they are
    nowhere. Their SHA-256 is checked wherever they came from.

    Lines end in "\\n" as in every text that Python opens ("\\r\\n" and "\\r" are replaced), and a byte order mark is
    left out; nothing else is changed. Raises `DataError` for a file that is missing, empty, damaged or not in UTF-8,
    and if a published text was not found and no mirror answered.

    Sources: A. Karpathy, char-rnn, 2015 (a part of Shakespeare's works, public domain); makemore, 2022, MIT license
    (names of the US Social Security Administration, 2018).
    """
    if source == _PYTHON:
        return _language_reference()
    if source in PUBLISHED:
        published = PUBLISHED[source]
        return _decoded(published.file, _find(published))
    if not os.path.isfile(source):
        known = ", ".join(sorted(map(repr, (_PYTHON, *PUBLISHED))))
        raise DataError(f"{os.fspath(source):.200}", f"no such file; the texts known by name are {known}")
    return _decoded(source, _content(source))


def _language_reference() -> str:
    """The topics in alphabetical order, an empty line between them."""
    try:
        from pydoc_data.topics import topics
    except ImportError as error:
        raise DataError("pydoc_data.topics", "is missing in this Python: install its complete library") from error
    return "\n".join(content for _, content in sorted(topics.items()))


def _find(published: PublishedText) -> bytes:
    """Return the content of the first file that there is. A damaged file is an error, not a miss."""
    for file in _candidates(published):
        if os.path.isfile(file):
            try:
                return _published_content(file, published)
            except DataError as error:
                raise DataError(file, f"{error.fault}; delete it, or put the published file there") from error
    return _published_content(_download(published), published)


def _published_content(file: Path, published: PublishedText) -> bytes:
    content = _content(file)
    verified(content, file, published.sha256)
    return content


def _download(published: PublishedText) -> Path:
    def check(file: Path) -> None:
        _published_content(file, published)

    try:
        return fetch(cache() / _FOLDER / published.file, published.addresses, check)
    except DataError as error:
        searched = dict.fromkeys(str(file.parent) for file in _candidates(published))
        raise DataError(
            f"{_FOLDER}/{published.file}",
            f"found nowhere, and {error.fault}"
            + "\n  ".join(["\nLooked in, packed and unpacked:", *searched])
            + f"\nTo do: set FNNET_DATA to a folder that holds {_FOLDER}/{published.file}",
        ) from error


def _candidates(published: PublishedText) -> Iterator[Path]:
    """Yield the files that may hold the text, in the order in which they are looked for."""
    for root in roots():
        yield from (root / _FOLDER / published.file, root / _FOLDER / f"{published.file}.gz")
    folder = cache() / _FOLDER
    yield from (folder / published.file, folder / f"{published.file}.gz")


def _content(file: str | os.PathLike[str]) -> bytes:
    """The decompressed bytes of a file."""
    try:
        content = Path(file).read_bytes()
        return gzip.decompress(content) if content.startswith(_GZIP) else content
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(file, f"damaged gzip ({error})") from error
    except MemoryError as error:
        raise DataError(file, "does not fit into memory") from error
    except OSError as error:
        raise DataError(file, f"cannot be read ({error.strerror or error})") from error


def _decoded(file: str | os.PathLike[str], content: bytes) -> str:
    content = content.removeprefix(codecs.BOM_UTF8)
    try:
        decoded = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = 1 + content.count(b"\n", 0, error.start)
        raise DataError(
            file,
            f"line {line}: is not text in UTF-8 ({error.reason}): save it in UTF-8, or read it yourself with its "
            f"encoding, open(file, encoding=...).read(): what takes a text takes any string",
        ) from error
    if not decoded:
        raise DataError(file, "is empty")
    return decoded.replace("\r\n", "\n").replace("\r", "\n")
