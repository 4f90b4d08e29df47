"""Text: of the standard library, of any file, read as it is; published texts, verified wherever they are found."""

import gzip
import hashlib
import os
import sys
from pathlib import Path

import pooch
import pytest

from fnnet.datasets import DataError, _text, text

CONTENT = "to be,\nor not to be"
RAW = CONTENT.encode()
GARBAGE = b"garbage"
BOM = "\N{ZERO WIDTH NO-BREAK SPACE}"


def test_the_text_that_needs_no_file_is_the_language_reference():
    found = text()
    assert found == text("python")
    assert len(found) > 100_000
    assert found.startswith('The "assert" statement\n***')
    assert found.index("compound statement") > 0
    assert "\n\nAssignment statements\n****" in found
    assert "\r" not in found


def test_the_topics_are_in_order_whatever_order_they_are_listed_in(monkeypatch):
    import pydoc_data.topics

    monkeypatch.setattr(pydoc_data.topics, "topics", {"b": "second\n", "a": "first\n"})
    assert text() == "first\n\nsecond\n"


def test_a_python_without_its_documentation_is_a_data_error(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    with pytest.raises(DataError, match=r"pydoc_data\.topics: is missing in this Python"):
        text()


# --- files of one's own ---


@pytest.mark.parametrize("packed", [bytes, gzip.compress], ids=["raw", "gzip"])
@pytest.mark.parametrize("as_path", [str, Path])
@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (CONTENT, CONTENT),
        (f"{BOM}ab", "ab"),
        (f"a{BOM}b", f"a{BOM}b"),
        (f"{BOM}\N{LATIN SMALL LIGATURE FI}n", "\N{LATIN SMALL LIGATURE FI}n"),
        ("a\r\nb\rc\n\rd\r\n", "a\nb\nc\n\nd\n"),
        ("na\u00efve \N{SNOWMAN}\N{GRINNING FACE}\0\t\u2028", "na\u00efve \N{SNOWMAN}\N{GRINNING FACE}\0\t\u2028"),
    ],
    ids=["ascii", "mark", "mark_inside", "first_byte_of_the_mark", "newlines", "unicode"],
)
def test_a_file_is_read_as_it_is_but_for_newlines_and_mark(tmp_path, packed, as_path, content, expected):
    file = tmp_path / "some.txt"
    file.write_bytes(packed(content.encode()))
    assert text(as_path(file)) == expected


def test_a_file_may_have_the_name_of_a_published_text(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("names", "python"):
        Path(name).write_bytes(RAW)
        assert text(f"./{name}") == text(Path(name)) == CONTENT


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "is empty"),
        (BOM.encode(), "is empty"),
        (gzip.compress(b"", mtime=0), "is empty"),
        (b"fine\nstill fine\nna\xefve", r"line 3: is not text in UTF-8 \(.*\): save it in UTF-8, or read it yourself"),
        (BOM.encode() + b"\xff", "line 1: is not text in UTF-8"),
        ("fine".encode("utf-16"), "line 1: is not text in UTF-8"),
        (gzip.compress(RAW, mtime=0)[:-3], "damaged gzip"),
        (gzip.compress(RAW, mtime=0)[:12] + b"\xff" + gzip.compress(RAW, mtime=0)[13:], "damaged gzip"),
        (gzip.compress(RAW, mtime=0) + GARBAGE, "damaged gzip"),
        (b"\x1f\x8bno", "damaged gzip"),
    ],
)
def test_a_file_that_is_no_text_is_a_data_error(tmp_path, content, fault):
    file = tmp_path / "some.txt"
    file.write_bytes(content)
    with pytest.raises(DataError, match=fault) as caught:
        text(file)
    assert caught.value.file == str(file)


@pytest.mark.parametrize("source", ["nowhere.txt", "Shakespeare", "", ".", Path("shakespeare")])
def test_a_file_that_is_not_there_is_a_data_error_that_lists_the_names(tmp_path, monkeypatch, source):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"no such file; the texts known by name are 'names', 'python', 'shakespeare'$"):
        text(source)


def test_a_text_in_place_of_its_file_is_not_repeated_in_full():
    with pytest.raises(DataError, match="no such file") as caught:
        text("word " * 10_000)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(("error", "fault"), [(PermissionError(13, "Denied"), "Denied"), (MemoryError(), "memory")])
def test_a_file_that_cannot_be_read_is_a_data_error(tmp_path, monkeypatch, error, fault):
    def refuse(self):
        raise error

    file = tmp_path / "some.txt"
    file.write_bytes(RAW)
    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(DataError, match=fault):
        text(file)


# --- published texts ---

TINY = _text.PublishedText("tiny.txt", ("https://one/tiny.txt", "https://two/x"), hashlib.sha256(RAW).hexdigest())


@pytest.fixture
def places(tmp_path, monkeypatch):
    """An empty machine where "shakespeare" is a tiny text; the folders in which it is looked for, in order."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    for name in ("HOME", "USERPROFILE", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home" / "cache"))
    monkeypatch.setenv("FNNET_DATA", str(tmp_path / "chosen"))
    monkeypatch.setitem(_text.PUBLISHED, "shakespeare", TINY)
    return [tmp_path / "chosen" / "text", Path("data") / "text", Path(pooch.os_cache("fnnet")) / "text"]


@pytest.fixture
def asked(monkeypatch):
    """The addresses that were asked, at which lies what `asked.answers` says; other ones refuse."""

    class Asked(list):
        def __init__(self):
            self.answers = {}

    found = Asked()

    def download(self, url, file, pooch):
        found.append(url)
        if url not in found.answers:
            raise ConnectionRefusedError(f"{url} refused")
        Path(file).write_bytes(found.answers[url])

    monkeypatch.setattr(pooch.HTTPDownloader, "__call__", download)
    return found


def put(folder, packed, content=RAW):
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / ("tiny.txt.gz" if packed else "tiny.txt")
    file.write_bytes(gzip.compress(content) if packed else content)
    return file


@pytest.mark.parametrize("index", range(3))
@pytest.mark.parametrize("packed", [False, True])
def test_an_earlier_place_comes_before_a_later_one(places, asked, index, packed):
    put(places[index], packed)
    if not packed:
        put(places[index], True, GARBAGE)
    for later in places[index + 1 :]:
        put(later, False, GARBAGE)
    assert text("shakespeare") == CONTENT
    assert asked == []


@pytest.mark.parametrize("index", range(3))
@pytest.mark.parametrize("packed", [False, True])
def test_another_content_is_an_error_even_if_a_later_place_is_sound(places, asked, index, packed):
    file = put(places[index], packed, GARBAGE)
    for later in places[index + 1 :]:
        put(later, False)
    with pytest.raises(DataError, match=r"SHA-256 of its content is [0-9a-f]{64}, expected .*; delete it") as caught:
        text("shakespeare")
    assert caught.value.file == str(file)
    assert asked == []


def test_a_text_that_is_nowhere_is_downloaded_once(places, asked, capsys):
    asked.answers = {TINY.addresses[0]: GARBAGE, TINY.addresses[1]: RAW}
    assert text("shakespeare") == CONTENT
    assert text("shakespeare") == CONTENT
    assert asked == list(TINY.addresses)
    assert [file.name for file in places[2].iterdir()] == ["tiny.txt"]
    assert capsys.readouterr().err.splitlines() == [f"fnnet: fetching {a} into {places[2]}" for a in TINY.addresses]


def test_without_network_and_files_the_error_says_what_to_do(places, asked, capsys):
    asked.answers = {TINY.addresses[1]: b"<html>please log in</html>"}
    with pytest.raises(DataError) as caught:
        text("shakespeare")
    message = str(caught.value)
    assert message.startswith("text/tiny.txt: found nowhere, and could not be downloaded:\n")
    assert f"{TINY.addresses[0]}: {TINY.addresses[0]} refused" in message
    assert f"{TINY.addresses[1]}: SHA-256 of its content is" in message
    assert "\nLooked in, packed and unpacked:\n" + "".join(f"  {place}\n" for place in places) in message
    assert message.endswith("To do: set FNNET_DATA to a folder that holds text/tiny.txt")
    assert [*places[2].iterdir()] == []


published = pytest.mark.skipif(
    not os.environ.get("FNNET_DATA"), reason="FNNET_DATA is not set: texts are not downloaded for a test"
)


@published
def test_shakespeare_has_the_published_length_and_characters():
    found = text("shakespeare")
    assert (len(found), len({*found}), found.count("\n")) == (1_115_394, 65, 40_000)
    assert found.startswith("First Citizen:\nBefore we proceed any further, hear me speak.\n\nAll:")


@published
def test_names_are_32033_of_small_letters():
    found = text("names").split("\n")
    assert (len(found), found[0], found[-1]) == (32_033, "emma", "zzyzx")
    assert all(name.isascii() and name.islower() and name.isalpha() for name in found)
