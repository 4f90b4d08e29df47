"""Your own digit, photographed, scanned or painted, as MNIST would show it.

    image = fnnet.datasets.digit_from_image("my_seven.jpg")         # (28, 28) uint8
    probabilities = fnnet.predict(model, params, image[None])

MNIST's images were made like this: a dark digit on white paper, scanned in black and white, was cut out, scaled to fit
20 x 20 pixels with its proportions kept and its edges smoothed, and placed in 28 x 28 with its center of mass in the
middle, light on dark. A network has seen nothing else, so an image must be prepared in the same way. The steps here:

    read_grey    decoded, in gray, no longer than 512 pixels                 (`image_files`)
    find_ink     uneven light removed; what differs from the paper at the border is ink, whether darker or lighter
    find_digits  connected pieces of ink; specks and what touches the border are left out
    fit          cut out, strokes that are thinner than MNIST's thickened, 20 x 20, centered in 28 x 28

Source: Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST database of handwritten digits", 1998.
"""

from types import ModuleType
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Int, UInt8

from fnnet.datasets.data_error import DataError
from fnnet.datasets.image_files import ImageLike, name_of, pillow, read_grey

SIDE, BOX = 28, 20
THINNEST = 0.1  # of a stroke, as a fraction of the digit's longer side; four fifths of MNIST's are wider (median 0.12)
_FINE = 160  # the longer side of a digit while its strokes are measured and thickened
_NOTHING = "nothing that stands out from the paper is drawn on it: use a darker pen or more light"
_FAINTEST = 0.04  # contrast under which there is nothing to be seen, 10 of 255


class FoundDigits(NamedTuple):
    """What was found in an image, from left to right.

    images  (N, 28, 28) uint8, as MNIST has them
    page    (H, W) float32 in 0..1, the image in gray
    ink     (H, W) float32 in 0..1, how much ink there is
    boxes   (N, 4) int: left, top, right, bottom of each digit on the page, in pixels, right and bottom exclusive
    """

    images: UInt8[np.ndarray, "N 28 28"]
    page: Float32[np.ndarray, "H W"]
    ink: Float32[np.ndarray, "H W"]
    boxes: Int[np.ndarray, "N 4"]


def digit_from_image(source: ImageLike) -> UInt8[np.ndarray, "28 28"]:
    """Return the one digit in an image as MNIST would show it: (28, 28) uint8, read-only, light on dark.

    source  a path, a binary file or an array, as `read_grey` takes it

    The digit may be dark on light or light on dark, of any color, size and place, in any light; the paper must fill
    the image, and darker rules on it or other things beside the digit may be taken for ink. Raises `DataError`
    that names the file if it is not an image or nothing is drawn on it; ImportError without Pillow.
    """
    return find_digits(source).images[0]


def digits_from_image(source: ImageLike) -> UInt8[np.ndarray, "N 28 28"]:
    """Return the digits side by side in an image, from left to right: (N, 28, 28) uint8, read-only.

    As `digit_from_image`. Digits that touch come out as one.
    """
    return find_digits(source, several=True).images


def find_digits(source: ImageLike, *, several: bool = False) -> FoundDigits:
    """Return what `digit_from_image` (or, of several, `digits_from_image`) sees, and where it saw it."""
    page = read_grey(source)
    ink, mask = find_ink(page, name_of(source))
    pieces = _kept(connected(_bridged(mask)) * mask, ink)
    digits = _side_by_side(pieces) if several else [_around_largest(pieces, ink)]
    boxes = np.concatenate([_boxes(digit)[1] for digit in digits])
    images = np.stack([_image(ink * _bridged(digit), box) for digit, box in zip(digits, boxes, strict=True)])
    for array in (images, ink, boxes):
        array.setflags(write=False)
    return FoundDigits(images, page, ink, boxes)


def find_ink(
    page: Float32[np.ndarray, "H W"], name: str = "array"
) -> tuple[Float32[np.ndarray, "H W"], Bool[np.ndarray, "H W"]]:
    """Return (how much ink is where in 0..1, what is ink) of an image.

    The smooth light on the paper is subtracted. Ink is then what deviates more from the paper, the darker or the
    lighter side. A morphological opening removes what is wider than ink can be, such as a shadow: first what is wider
    than half the page, then what is five times as wide as the strokes. Only windows inside the page count, so that ink
    may touch the border. Ink is measured relative to the light on the paper, where the paper is bright enough to show
    it. The mask is True where the ink is half as strong as the strongest, and where it is
    a quarter as strong and connected to that. Raises `DataError` if nothing stands out.
    """
    paper = lighting(page)
    flat = page - paper
    low, high = np.percentile(flat, (0.2, 99.8))
    dark = -low >= high
    flat = -flat if dark else flat
    window, noise = min(page.shape) // 2, pixel_noise(page)
    ink, peak = _standing_out(flat, window, noise, name)
    window = min(window, int(5 * mean_width(ink > 0.5 * peak)) + 2)
    ink, peak = _standing_out(flat, window, noise, name)
    if dark:  # in the shade it is weaker by as much as the paper around it is darker
        ink = ink / np.maximum(page + ink, _FAINTEST)
        peak, noise = np.percentile(ink, 99.8), noise / max(np.median(page), _FAINTEST)
    elif paper.min() > _FAINTEST:  # the same for light ink, unless the paper is too black to show the light on it
        ink = ink * np.clip(np.median(paper) / paper, 0.5, 2)
        peak = np.percentile(ink, 99.8)
    weak = ink > max(0.25 * peak, 4 * noise)
    labels = connected(weak)
    mask = weak & np.isin(labels, np.unique(labels[ink > max(0.5 * peak, 4 * noise)]))
    if not mask.any():
        raise DataError(name, _NOTHING)
    return np.clip(ink / peak, 0, 1).astype(np.float32), mask


def _ndimage() -> ModuleType:
    """`scipy.ndimage`, imported at first use: it takes longer to import than the rest of this package."""
    import scipy.ndimage

    return scipy.ndimage


def _standing_out(flat: np.ndarray, window: int, noise: float, name: str) -> tuple[np.ndarray, np.floating]:
    """(what is brighter than its surroundings and narrower than the window, its peak)."""
    raised = flat - opened(flat, window)
    ink = raised - np.median(raised)
    peak = np.percentile(ink, 99.8)
    if peak < max(_FAINTEST, 8 * noise):
        raise DataError(name, _NOTHING)
    return ink, peak


def pixel_noise(page: Float32[np.ndarray, "H W"]) -> float:
    """Return the standard deviation of the noise from pixel to pixel, from the median of |difference|."""
    return float(1.4826 * np.median(np.abs(np.diff(page))) / np.sqrt(2))


def lighting(page: Float32[np.ndarray, "H W"]) -> Float32[np.ndarray, "H W"]:
    """Return the paper under its light: the polynomial of second degree that fits most of the page.

    Weighted least squares, started from the border's median: a pixel that is r away from the last fit counts
    1 / (1 + (r / s)^2). While s shrinks from 0.3 to 0.05, the fit follows the light, and ink loses its weight.
    """
    y, x = np.meshgrid(*(np.linspace(-1, 1, n, dtype=np.float32) for n in page.shape), indexing="ij")
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], -1)
    every = max(1, min(page.shape) // 64)
    few, values = (a[::every, ::every].reshape(-1, *a.shape[2:]).astype(float) for a in (terms, page))
    fit = np.median(np.concatenate([page[0], page[-1], page[:, 0], page[:, -1]]))
    for scale in np.geomspace(0.3, 0.05, 15):
        weighted = few / (1 + ((values - fit) / scale) ** 2)[:, None]
        coefficients = np.linalg.solve(weighted.T @ few + 1e-9 * np.eye(6), weighted.T @ values)
        fit = few @ coefficients
    return terms @ coefficients.astype(np.float32)


def opened(a: np.ndarray, window: int) -> np.ndarray:
    """Return, for each pixel, the largest of the minima of the window x window squares around it that lie in `a`."""
    return _ndimage().grey_opening(a, (window, window), mode="constant", cval=-np.inf)


def connected(mask: Bool[np.ndarray, "H W"]) -> Int[np.ndarray, "H W"]:
    """Return labels of a mask's connected components, 1 and up, 0 outside; diagonal neighbors are connected."""
    return _ndimage().label(mask, np.ones((3, 3)))[0]


def _bridged(mask: np.ndarray) -> np.ndarray:
    """The mask dilated by a hundredth of the page, so that strokes broken up by the paper's grain stay together."""
    return grown(mask, min(mask.shape) / 100)


def grown(a: np.ndarray, radius: float) -> np.ndarray:
    """Return the largest value within a disk around each pixel, at most `radius` away; 0 outside `a`."""
    reach = int(radius)
    y, x = np.ogrid[-reach : reach + 1, -reach : reach + 1]
    return _ndimage().maximum_filter(a, footprint=y * y + x * x <= radius * radius, mode="constant", cval=0)


def _kept(pieces: np.ndarray, ink: np.ndarray) -> np.ndarray:
    """The labels without specks, and without what touches the border, unless that is nearly everything."""
    amounts = np.bincount(pieces.ravel(), ink.ravel())
    amounts[0] = 0
    border = np.unique(np.concatenate([pieces[0], pieces[-1], pieces[:, 0], pieces[:, -1]]))
    inside = amounts.copy()
    inside[border] = 0
    amounts = inside if inside.max() > 0.2 * amounts.max() else amounts
    return np.where(amounts[pieces] > 0.03 * amounts.max(), pieces, 0)


def _around_largest(pieces: np.ndarray, ink: np.ndarray) -> np.ndarray:
    """The mask of the piece with most ink and those that are no farther from it than half its size."""
    names, boxes = _boxes(pieces)
    amounts = np.bincount(pieces.ravel(), ink.ravel())[names]
    order = np.argsort(-amounts, kind="stable")
    digit, box = [names[order[0]]], boxes[order[0]]
    for name, other in zip(names[order[1:]], boxes[order[1:]], strict=True):
        gap = max(other[0] - box[2], box[0] - other[2], other[1] - box[3], box[1] - other[3])
        if gap < max(box[2] - box[0], box[3] - box[1]) / 2:
            digit, box = [*digit, name], _around(box, other)
    return np.isin(pieces, digit)


def _side_by_side(pieces: np.ndarray) -> list[np.ndarray]:
    """Masks of digits from left to right: pieces one above the other, or small beside large, are of one digit."""
    names, boxes = _boxes(pieces)
    digits = [[name] for name in names]
    while (pair := _one_digit(boxes)) is not None:
        first, second = pair
        digits[first] += digits.pop(second)
        boxes[first] = _around(boxes[first], boxes[second])
        boxes = np.delete(boxes, second, axis=0)
    return [np.isin(pieces, digits[i]) for i in np.argsort(boxes[:, 0] + boxes[:, 2])]


def _one_digit(boxes: np.ndarray) -> tuple[int, int] | None:
    """Of (N, 4) boxes the two that overlap most (are nearest) among those that belong to one digit, i < j; or None."""
    left, top, right, bottom = boxes.T
    widths, heights = right - left, bottom - top
    overlap = np.minimum(right[:, None], right) - np.maximum(left[:, None], left)
    above = overlap > 0.5 * np.minimum(widths[:, None], widths)
    small = np.minimum(heights[:, None], heights) < 0.4 * heights.max()
    belong = np.triu(above | (small & (overlap > -0.2 * heights.max())), 1)
    if not belong.any():
        return None
    first, second = np.unravel_index(np.argmax(np.where(belong, overlap, -np.inf)), belong.shape)
    return int(first), int(second)


def _boxes(pieces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(the labels of the pieces, (N, 4) their boxes: left, top, right, bottom)."""
    found = {label: place for label, place in enumerate(_ndimage().find_objects(pieces.astype(int)), 1) if place}
    return np.array([*found]), np.array([[x.start, y.start, x.stop, y.stop] for y, x in found.values()])


def _around(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.concatenate([np.minimum(a[:2], b[:2]), np.maximum(a[2:], b[2:])])


def _image(ink: np.ndarray, box: np.ndarray) -> np.ndarray:
    left, top, right, bottom = box
    return centered(fit(ink[top:bottom, left:right]))


def fit(ink: np.ndarray) -> np.ndarray:
    """Return a digit that fills its array, scaled so that its longer side is 20 pixels, in 0..1."""
    fine = _resized(ink, _FINE)
    missing = THINNEST * _FINE - stroke_width(fine)
    if missing > 2:
        reach = missing / 2
        ink = grown(np.pad(fine, int(reach)), reach)
    small = np.clip(_resized(ink, BOX), 0, 1)
    return small / small.max()


def stroke_width(ink: np.ndarray) -> float:
    """Return how wide the strokes are, in pixels, once holes that are narrower than 3 % of the image are filled."""
    hole = max(ink.shape) * 0.015
    return mean_width(1 - grown(1 - grown(np.pad(ink, int(hole)), hole), hole))


def mean_width(ink: np.ndarray) -> float:
    """Return the area of the ink over half the length of its outline, which is the sum of |gradient|; in pixels."""
    ink = np.pad(ink.astype(np.float32), 1)
    dy, dx = np.diff(ink, axis=0)[:, :-1], np.diff(ink, axis=1)[:-1]
    return float(2 * ink.sum() / np.hypot(dy, dx).sum())


def _resized(ink: np.ndarray, longest: int) -> np.ndarray:
    """Resized to a longer side of `longest`: area averages to shrink, bilinear interpolation to enlarge."""
    Image = pillow()
    scale = longest / max(ink.shape)
    size = tuple(max(1, round(scale * side)) for side in ink.shape[::-1])
    resampling = Image.Resampling.BOX if scale <= 1 else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(ink.astype(np.float32)).resize(size, resampling))


def centered(digit: np.ndarray) -> UInt8[np.ndarray, "28 28"]:
    """Return (28, 28) uint8 with the digit's center of mass as near the middle as whole pixels can bring it."""
    corner = []
    for axis, size in enumerate(digit.shape):
        mass = digit.sum(1 - axis)
        middle = (mass * np.arange(size)).sum() / mass.sum()
        corner.append(int(np.clip(round(SIDE / 2 - middle), 0, SIDE - size)))
    image = np.zeros((SIDE, SIDE), np.uint8)
    top, left = corner
    image[top : top + digit.shape[0], left : left + digit.shape[1]] = np.round(255 * digit)
    return image
