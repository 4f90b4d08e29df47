"""Windows that move over images: what convolutions and pooling share.

Output (h, w) sees, at position (i, j) of its window, the image's row h s + i d - p and column w s + j d - p: stride s,
dilation d, padding p.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple, TypeAlias

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Num

Pair: TypeAlias = tuple[int, int]
Size: TypeAlias = tuple[int, ...]


class Window(NamedTuple):
    """How a window moves; every entry for height and width.

    size, stride, dilation
    padding   rows (columns) put before and after; below 0 they are cropped
    """

    size: Pair
    stride: Pair
    dilation: Pair
    padding: tuple[Pair, Pair]

    def outputs(self, image: Size) -> Pair:
        """(h, w): how often the window fits into an image of (H, W)."""
        h, w = (
            (n + sum(ends) - (k - 1) * d - 1) // s + 1
            for n, k, s, d, ends in zip(image, self.size, self.stride, self.dilation, self.padding, strict=True)
        )
        return h, w

    def positions(self) -> Iterator[Pair]:
        """Every (i, j), row by row."""
        return ((i, j) for i in range(self.size[0]) for j in range(self.size[1]))

    def padded(self, x: Num[Array, "B H W C"], value: Any = 0) -> Num[Array, "B P Q C"]:
        """The image with its padding."""
        if self.padding == ((0, 0), (0, 0)):
            return x
        top_and_bottom, left_and_right = self.padding
        edges = ((0, 0, 0), (*top_and_bottom, 0), (*left_and_right, 0), (0, 0, 0))
        return lax.pad(x, jnp.asarray(value, x.dtype), edges)

    def seen(self, padded: Num[Array, "B P Q C"], position: Pair, outputs: Size) -> Num[Array, "B h w C"]:
        """What every output sees at one position of its window, of an image with its padding."""
        rows, columns = (
            slice(i * d, i * d + (m - 1) * s + 1, s)
            for i, d, m, s in zip(position, self.dilation, outputs, self.stride, strict=True)
        )
        return padded[:, rows, columns]

    def placed(self, y: Num[Array, "B h w C"], position: Pair, image: Size) -> Num[Array, "B H W C"]:
        """The reverse of `seen`: zeros of the image's size with y where the outputs see them at this position."""
        edges = [(0, 0, 0)]
        for n, m, i, s, d, (low, _) in zip(
            image, y.shape[1:3], position, self.stride, self.dilation, self.padding, strict=True
        ):
            first = i * d - low
            edges.append((first, n - first - (m - 1) * s - 1, s - 1))
        return lax.pad(y, jnp.zeros((), y.dtype), [*edges, (0, 0, 0)])


def pair_of(owner: str, name: str, value: Any, low: int, length: int) -> Any:
    """A setting for every spatial axis: one int for all, or a tuple of `length`. Raises ValueError for others."""
    values = (value,) * length if isinstance(value, int) else value
    is_ints = isinstance(values, tuple) and all(isinstance(n, int) and not isinstance(n, bool) for n in values)
    if not is_ints or len(values) != length or min(values) < low:
        raise ValueError(f"{owner}: expected {name} to be an int of at least {low}, or {length} of them, got {value!r}")
    return values


def check_padding(owner: str, value: Any, length: int) -> None:
    """Raise ValueError unless padding is "same", "valid" or a pair (before, after) for every spatial axis."""
    if value in ("same", "valid"):
        return
    if isinstance(value, tuple) and len(value) == length and all(map(_is_pair, value)):
        return
    example = "((1, 1), (1, 1))" if length == 2 else "((1, 1),)"
    raise ValueError(
        f'{owner}: expected padding to be "same", "valid" or a pair (before, after) per axis such as {example}, '
        f"got {value!r}"
    )


def _is_pair(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and all(type(n) is int and n >= 0 for n in value)


def window_over(owner: str, image: Size, size: Any, stride: Any, dilation: Any, padding: Any) -> Window:
    """The window as it moves over images of a size; one axis is a height of 1 and a width.

    "same" keeps a size at stride 1, and gives ceil(size / stride) outputs at any; what cannot be divided into two equal
    halves stands after. Raises ValueError for images with another number of axes, and where the window does not fit.
    """
    length = len(size)
    if len(image) != length:
        expected, hint = {
            1: ("(T, C)", "write two numbers, such as (5, 5), for images, or put Reshape((T, C)) before it"),
            2: ("(H, W, C)", "put Reshape((28, 28, 1)) (or the shape of your images) before it"),
        }[length]
        raise ValueError(
            f"{owner}: expected rows of shape {expected}, got {len(image)} axes before the channels; {hint}"
        )
    strides, dilations = pair_of(owner, "stride", stride, 1, length), pair_of(owner, "dilation", dilation, 1, length)
    spans = [(k - 1) * d + 1 for k, d in zip(size, dilations, strict=True)]
    if padding == "same":
        missing = [max(0, (-(-n // s) - 1) * s + e - n) for n, s, e in zip(image, strides, spans, strict=True)]
        padding = tuple((m // 2, m - m // 2) for m in missing)
    elif padding == "valid":
        padding = ((0, 0),) * length
    if any(n + sum(ends) < e for n, ends, e in zip(image, padding, spans, strict=True)):
        raise ValueError(f"{owner}: a window of {tuple(spans)} does not fit into {image} with padding {padding}")
    if length == 1:
        return Window((1, *size), (1, *strides), (1, *dilations), ((0, 0), *padding))
    return Window(size, strides, dilations, padding)
