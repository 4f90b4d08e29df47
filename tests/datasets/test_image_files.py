"""A folder with one subfolder of images per class."""

import numpy as np
import pytest
from PIL import Image

from fnnet.datasets import DataError, image_folder
from tests.datasets.loading import assert_read_only


@pytest.fixture
def folder(tmp_path):
    """Two cats and one dog, in three kinds of file, 4 wide and 3 high; things that are left out."""
    for name, color, options in (("cat/b.png", "RGB", {}), ("cat/a.bmp", "L", {}), ("dog/c.png", "RGBA", {})):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        Image.new(color, (4, 3), {"RGB": (255, 0, 9), "L": 7, "RGBA": (1, 2, 3, 0)}[color]).save(file, **options)
    (tmp_path / "README.txt").write_text("mine")
    (tmp_path / "cat" / ".DS_Store").write_text("theirs")
    (tmp_path / ".cache").mkdir()
    return tmp_path


def test_a_subfolder_is_a_class(folder):
    data, classes = image_folder(folder)
    assert classes == ("cat", "dog")
    assert (data.x.shape, data.x.dtype, data.y.dtype) == ((3, 3, 4, 3), np.uint8, np.int32)
    assert data.y.tolist() == [0, 0, 1]
    assert data.x[:, 0, 0].tolist() == [[7, 7, 7], [255, 0, 9], [255, 255, 255]], "sorted; what is transparent is white"
    assert_read_only(data)


def test_grey_and_resized(folder):
    Image.new("L", (40, 30), 7).save(folder / "cat" / "a.bmp")
    data, _ = image_folder(folder, size=(5, 6), color=False)
    assert data.x.shape == (3, 5, 6)
    assert (data.x[0] == 7).all()
    assert image_folder(folder, size=8)[0].x.shape == (3, 8, 8, 3)


def test_exif_says_which_side_is_up(folder):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (3, 4)).save(folder / "dog" / "d.png", exif=exif)
    assert image_folder(folder)[0].x.shape == (4, 3, 4, 3)


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize("size", ["8x8", 0, -3, 8.5, True, (8,), (8, 0), (8, 8, 3), (8.0, 8)])
def test_a_size_that_is_none_is_refused(folder, size):
    with pytest.raises(
        ValueError, match=r"image_folder: expected size to be \(height, width\), or an int above 0 for b"
    ):
        image_folder(folder, size=size)
    assert image_folder(folder, size=np.int64(8))[0].x.shape == (3, 8, 8, 3)


def test_another_size_is_refused_by_name(folder):
    Image.new("RGB", (4, 5)).save(folder / "dog" / "d.png")
    with pytest.raises(DataError, match=r"d\.png: has 5 x 4 pixels \(height x width\), .*a\.bmp has 3 x 4; .*size="):
        image_folder(folder)


@pytest.mark.parametrize(
    ("name", "content", "guilty", "says"),
    [
        ("dog/notes.txt", b"woof", "notes.txt", "is not an image"),
        ("dog/cut.png", b"\x89PNG\r\n\x1a\n\0\0", "cut.png", "image|damaged"),
        ("dog/more/a.png", b"", "more", "is a folder in class dog"),
        ("empty/.hidden", b"", "empty", "has no images"),
    ],
)
def test_what_is_no_image_is_refused_by_name(folder, name, content, guilty, says):
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(content)
    with pytest.raises(DataError, match=says) as caught:
        image_folder(folder)
    assert caught.value.file.endswith(guilty)


def test_deep_images_are_refused_rather_than_clipped(folder):
    Image.fromarray(np.full((3, 4), 1000, np.uint16)).save(folder / "dog" / "deep.png")
    with pytest.raises(DataError, match=r"deep\.png: has more than 8 bits per channel"):
        image_folder(folder)


def test_a_folder_without_classes_is_refused(tmp_path):
    with pytest.raises(DataError, match="has no subfolders; expected one per class"):
        image_folder(tmp_path)
    with pytest.raises(DataError, match="no such folder"):
        image_folder(tmp_path / "none")
