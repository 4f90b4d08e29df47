"""A person's own digit comes out as MNIST would show it, whatever its polarity, place, size and light."""

import csv
import hashlib
import io
import os
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from scipy import ndimage

import fnnet
from fnnet.datasets import DataError, digit_from_image, digits_from_image, find_digits
from fnnet.datasets.handwriting import centered, grown, mean_width, opened
from fnnet.datasets.image_files import read_grey

OWN = Path(__file__).parents[1] / "own_digits"
HAS_MNIST = "FNNET_DATA" in os.environ and (Path(os.environ["FNNET_DATA"]) / "mnist").is_dir()
SHA256_OWN = "7371a9d9569835f04d7c77351da59e303090c7aa1ce16c0f135fac438cf90d7a"


def labels():
    with (OWN / "labels.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def seven(side=120, ink=0, paper=255, at=(0.5, 0.5), tall=0.6):
    """A seven, (side, side) uint8, with hard edges: points and stroke width are whole pixels."""
    image = Image.new("L", (side, side), paper)
    points = np.array([(-0.3, -0.5), (0.3, -0.5), (-0.05, 0.5)]) * tall * side + np.array(at) * side
    width = max(2, round(0.13 * tall * side))
    ImageDraw.Draw(image).line([tuple(p) for p in points], fill=ink, width=width, joint="curve")
    return np.asarray(image)


def difference(a, b):
    """Sum of |a - b| over the mean brightness: 0 for equals, 2 for digits that share no pixel; as little as it
    gets by moving one by a pixel, since the center of mass is rounded to whole pixels.
    """
    a, b = a.astype(float), b.astype(float)
    moved = [np.roll(a, (dy, dx), (0, 1)) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    return min(2 * np.abs(each - b).sum() / (a.sum() + b.sum()) for each in moved)


def png(array, **options):
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG", **options)
    return file


# ------------------------------------------------------------------ invariances


def test_what_comes_out_is_laid_out_as_mnist_is():
    image = digit_from_image(seven())
    assert (image.shape, image.dtype, image.max()) == ((28, 28), np.uint8, 255)
    assert not image.flags.writeable
    rows, columns = np.flatnonzero(image.any(1)), np.flatnonzero(image.any(0))
    assert max(np.ptp(rows), np.ptp(columns)) + 1 == 20
    y, x = ndimage.center_of_mass(image)
    assert abs(y - 14) <= 0.5
    assert abs(x - 14) <= 0.5


@given(x=st.floats(0.3, 0.7), y=st.floats(0.35, 0.65), ink=st.integers(0, 100), paper=st.integers(160, 255))
@settings(max_examples=15, deadline=None)
def test_place_contrast_and_polarity_do_not_matter(x, y, ink, paper):
    plain = digit_from_image(seven())
    page = seven(ink=ink, paper=paper, at=(round(120 * x) / 120, round(120 * y) / 120))
    moved, inverted = digit_from_image(page), digit_from_image(255 - page)
    assert difference(moved, plain) < 0.02
    assert difference(inverted, moved) < 0.02


def apart(a, b):
    """`difference` of two digits whose centers of mass lie on each other, each moved by half of the way."""
    a, b = a.astype(float), b.astype(float)
    half = np.subtract(ndimage.center_of_mass(b), ndimage.center_of_mass(a)) / 2
    return difference(ndimage.shift(a, half, order=1), ndimage.shift(b, -half, order=1))


@pytest.mark.parametrize("tall", [0.35, 0.359375, 0.4, 0.55, 0.85])
def test_size_does_not_matter(tall):
    """A digit lies on whole pixels, half a pixel away from another size's along both axes: they are laid on each other.

    What is left comes from the edges of the digit's box, which are whole pixels of the page and of the 20 x 20.
    """
    expected = digit_from_image(np.asarray(Image.fromarray(seven(3200)).reduce(8)))
    half_a_pixel = difference(ndimage.shift(expected.astype(float), (0.5, 0), order=1), expected)
    assert 0.2 < half_a_pixel < 0.25
    for side in (100, 139, 145, 400, 777, 1100):  # drawn 8 times as large, so that the shape is the same in every size
        image = digit_from_image(np.asarray(Image.fromarray(seven(8 * side, tall=tall)).reduce(8)))
        assert apart(image, expected) < half_a_pixel, side


@pytest.mark.parametrize("strength", [0.1, 0.4])
@pytest.mark.parametrize("angle", np.linspace(0, 2 * np.pi, 9)[:-1].tolist())
@pytest.mark.parametrize(("ink", "paper"), [(30, 220), (230, 40)], ids=["dark ink", "light ink"])
def test_uneven_light_does_not_matter(ink, paper, angle, strength):
    y, x = np.mgrid[-1:1:120j, -1:1:120j]
    page = seven(ink=ink, paper=paper)
    lit = page * (1 - strength * (1 + np.cos(angle) * x + np.sin(angle) * y) / 2 - 0.1 * (x * x + y * y))
    assert difference(digit_from_image(lit.astype(np.uint8)), digit_from_image(page)) < 0.01


def test_paper_too_black_to_show_the_light_is_left_as_it_is():
    """Dividing by what is only noise would invent a light."""
    y, x = np.mgrid[-1:1:120j, -1:1:120j]
    page = seven(ink=230, paper=0)
    noisy = np.clip(page + np.random.default_rng(0).normal(0, 2, page.shape), 0, 255).astype(np.uint8)
    assert difference(digit_from_image(noisy), digit_from_image(page)) < 0.05
    assert difference(digit_from_image((page * (1 - 0.1 * (x + y))).astype(np.uint8)), digit_from_image(page)) < 0.1


def test_a_shadow_does_not_matter():
    page = seven().copy()
    page[:, :70] //= 2  # most of the page: what is narrower than half of it may be ink
    assert difference(digit_from_image(page), digit_from_image(seven())) < 0.1


def test_specks_and_rules_do_not_matter_and_hairlines_are_thickened():
    page = seven(300).copy()
    page[40:44, 250:254] = 90
    page[20::40, :] = np.minimum(page[20::40, :], 225)
    assert difference(digit_from_image(page), digit_from_image(seven(300))) < 0.1
    thin = Image.new("L", (300, 300), 255)
    ImageDraw.Draw(thin).line([(100, 60), (200, 60), (140, 240)], fill=0, width=3)
    widths = [mean_width(digit / 255) for digit in (digit_from_image(np.asarray(thin)), digit_from_image(seven(300)))]
    assert widths[0] > 1.6, "MNIST's strokes are two pixels wide and more"
    assert widths[1] > widths[0]


@pytest.mark.skipif(not HAS_MNIST, reason="needs MNIST in FNNET_DATA")
@pytest.mark.parametrize("way", ["as they are", "large, dark on light, beside the middle", "photographed"])
def test_mnist_comes_back_near_to_itself(way):
    _, test = fnnet.datasets.mnist()
    rng = np.random.default_rng(0)
    differences = []
    for digit in test.x[:40]:
        page = digit
        if way != "as they are":
            page = np.pad(np.kron(255 - digit, np.ones((6, 6), np.uint8)), ((10, 90), (120, 20)), constant_values=255)
        if way == "photographed":
            x = np.linspace(0.55, 0.85, page.shape[1])
            page = np.clip(page * x + rng.normal(0, 3, page.shape), 0, 255).astype(np.uint8)
        differences.append(difference(digit_from_image(page), digit))
    others = [difference(a, b) for a, b in zip(test.x[:39], test.x[1:40], strict=True)]
    assert np.median(differences) < 0.12
    assert np.quantile(differences, 0.95) < 0.4, "the rest are thin ones that are thickened"
    assert max(differences) < np.quantile(others, 0.1)


# ------------------------------------------------------------------ several digits


def test_a_row_is_read_from_left_to_right():
    page = np.concatenate([seven(), seven(at=(0.5, 0.45), tall=0.5)[:, 20:], np.fliplr(seven())], 1)
    images, single = digits_from_image(page), digit_from_image(seven())
    assert images.shape == (3, 28, 28)
    assert difference(images[0], single) < 0.05
    assert difference(images[2], digit_from_image(np.fliplr(seven()))) < 0.05
    boxes = find_digits(page, several=True).boxes
    assert (np.diff(boxes[:, 0]) > 0).all()


def test_every_digit_of_the_rows_is_found():
    rows = [row for row in labels() if len(row["digits"]) > 1]
    assert [len(digits_from_image(OWN / row["file"])) for row in rows] == [len(row["digits"]) for row in rows]


# ------------------------------------------------------------------ files


def test_the_same_image_in_any_kind_of_file_is_the_same_digit(tmp_path):
    page, plain = seven(), digit_from_image(seven())
    color = np.stack([page, page, np.full_like(page, 255)], -1)  # yellow's opposite: blue ink
    ink = 255 - page
    clear = np.dstack([np.zeros((120, 120, 3), np.uint8), ink])
    white = np.dstack([np.full((120, 120, 3), 255, np.uint8), ink])
    deep = page.astype(np.uint16) * 257
    for name, array in (("color", color), ("clear", clear), ("white", white), ("deep", deep)):
        assert difference(digit_from_image(png(array)), plain) < 0.01, name
    for name, array in (("float", page / 255), ("bool", page > 99), ("int", page.astype(int)), ("16", deep)):
        assert difference(digit_from_image(array), plain) < 0.01, name
    for mode in ("1", "L", "P", "RGB", "RGBA", "LA", "I;16"):
        Image.fromarray(page).convert(mode).save(tmp_path / "a.png")
        assert difference(digit_from_image(tmp_path / "a.png"), plain) < (0.01 if mode != "I;16" else 0.02), mode
    for suffix in ("jpg", "bmp", "gif", "tiff", "webp", "ppm"):
        Image.fromarray(page).save(tmp_path / f"a.{suffix}")
        assert difference(digit_from_image(str(tmp_path / f"a.{suffix}")), plain) < 0.1, suffix


def test_exif_says_which_side_is_up(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(seven()).transpose(Image.Transpose.ROTATE_90).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(digit_from_image(tmp_path / "a.png"), digit_from_image(seven()))


def bomb(width, height):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


WHOLE = png(seven()).getvalue()


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "not an image"),
        (b"label,pixel0\n7,0\n", "not an image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n", "not an image"),
        (WHOLE[: len(WHOLE) // 2], "damaged"),
        (WHOLE[:60] + bytes(20) + WHOLE[80:], "damaged"),
        (bomb(9_000, 9_000), "64,000,000"),
        (bomb(11_000, 11_000), "64,000,000"),
        (bomb(60_000, 60_000), "64,000,000"),
        (bomb(0, 10), "damaged|not an image"),
        (png(np.zeros((4, 40), np.uint8)).getvalue(), "at least"),
        (png(np.tile(seven()[:, 40:60], (60, 1))).getvalue(), "narrow"),
        (png(np.full((50, 50), 255, np.uint8)).getvalue(), "nothing"),
        (png(np.zeros((50, 50, 4), np.uint8)).getvalue(), "nothing"),
    ],
    ids=["empty", "text", "postscript", "cut", "damaged", "large", "bomb", "larger", "no pixels", "tiny", "narrow",
         "blank", "transparent"],
)  # fmt: skip
def test_what_holds_no_digit_is_refused_with_its_name(content, fault, tmp_path):
    (tmp_path / "mine.png").write_bytes(content)
    with pytest.raises(DataError, match=fault) as error:
        digit_from_image(tmp_path / "mine.png")
    assert error.value.file.endswith("mine.png")
    with pytest.raises(DataError, match=fault):
        digits_from_image(io.BytesIO(content))


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        (OWN, "folder"),
        (OWN / "no.png", "no such file"),
        (np.zeros(9), r"\(9,\)"),
        (np.zeros((9, 9, 2), np.uint8), r"\(9, 9, 2\)"),
        (np.zeros((9, 9, 3)), "uint8"),
        (np.zeros((9, 9), complex), "complex"),
        (np.zeros((0, 9)), "at least"),
        (np.full((9, 9), np.nan), "NaN"),
        (np.random.default_rng(0).normal(size=(200, 200)), "nothing"),
    ],
    ids=["folder", "missing", "line", "two channels", "float color", "complex", "empty", "NaN", "noise"],
)
def test_other_sources_are_refused(source, fault):
    with pytest.raises(DataError, match=fault):
        digit_from_image(source)


@given(
    shape=st.tuples(st.integers(8, 60), st.integers(8, 60)),
    seed=st.integers(0, 2**31),
    cell=st.sampled_from([1, 4, 20]),
    power=st.sampled_from([1, 8]),
)
@settings(max_examples=40, deadline=None)
def test_whatever_the_image_there_is_an_answer_or_a_reason(shape, seed, cell, power):
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.normal(size=(2 + shape[0] // cell, 2 + shape[1] // cell)).astype(np.float32))
    page = np.asarray(small.resize(shape[::-1], Image.Resampling.BICUBIC)) ** power
    try:
        found = find_digits(page, several=True)
    except DataError:
        return
    assert (found.images.max((1, 2)) == 255).all()
    assert (found.boxes[:, :2] >= 0).all()
    assert (found.boxes[:, :2] < found.boxes[:, 2:]).all()
    assert (found.boxes[:, 2:] <= page.shape[::-1]).all()
    assert digit_from_image(page).max() == 255


def test_without_pillow_the_error_says_what_to_install(monkeypatch):
    page = seven()
    monkeypatch.setitem(sys.modules, "PIL", None)
    for source in (OWN / "05.png", page):
        with pytest.raises(ImportError, match=r"fnnet\[experiments\]"):
            digit_from_image(source)


def test_a_large_image_is_made_small_and_stays_in_range():
    grey = read_grey(seven(1500))
    assert grey.shape == (512, 512)
    assert (grey.min(), grey.max()) == (0, 1)
    assert not grey.flags.writeable


def test_numbers_of_any_scale_are_stretched_to_black_and_white():
    for page in (seven() / 255 * 3 + 100, seven().astype(int) - 1000):
        np.testing.assert_allclose(read_grey(page), read_grey(seven()), atol=1e-4)


def test_pixels_are_rounded():
    digit = np.full((20, 20), 0.999, np.float32)
    assert set(np.unique(centered(digit))) == {0, 255}


# ------------------------------------------------------------------ morphology


def test_openings_stay_inside_the_page_and_discs_are_round():
    a = np.random.default_rng(2).random((40, 33))
    y, x = np.mgrid[-3:4, -3:4]
    disc = y * y + x * x <= 3.4**2
    np.testing.assert_array_equal(grown(a, 3.4), ndimage.grey_dilation(a, footprint=disc, mode="constant", cval=0))
    for window in (1, 2, 5, 13):
        inside = slice(window, -window)  # beyond the border the plain opening sees mirrored pixels
        expected = ndimage.grey_opening(a, (window, window))
        np.testing.assert_array_equal(opened(a, window)[inside, inside], expected[inside, inside])
    assert opened(a, 5)[0, 0] == a[:5, :5].min()


@pytest.mark.parametrize("width", [4, 9, 20])
def test_a_bar_is_as_wide_as_it_is(width):
    bar = np.zeros((300, 60))
    bar[20:280, 10 : 10 + width] = 1
    assert mean_width(bar) == pytest.approx(width, rel=0.1)


# ------------------------------------------------------------------ the images


def test_the_own_digits_are_all_there_and_as_they_were_drawn():
    rows = labels()
    single = [row["digits"] for row in rows if len(row["digits"]) == 1]
    assert len(single) == 50
    assert set(single) == set("0123456789")
    assert {row["ink"] for row in rows} == {"dark", "light"}
    assert len({row["pen"] for row in rows}) >= 10
    files = sorted(p.name for p in OWN.iterdir() if p.suffix in (".png", ".jpg"))
    assert files == sorted(row["file"] for row in rows)
    digest = hashlib.sha256(b"".join((OWN / name).read_bytes() for name in [*files, "labels.csv"]))
    assert digest.hexdigest() == SHA256_OWN
