"""Convolutions: the same few weights at every position of an image or a sequence; and transposed convolutions."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Num

from fnnet._spec import check_floating, spec, static
from fnnet._windows import Pair, Window, check_padding, pair_of, window_over
from fnnet._xla.channel_sums import channel_sums
from fnnet._xla.convolutions import convolved, input_gradient, kernel_gradient
from fnnet.initializers import HeNormal, Zeros
from fnnet.layers.dense import check_initializers, check_sizes
from fnnet.protocols import Initializer, Key, Params, Shape


class ConvParams(NamedTuple):
    """w (*kernel, I, O) weights, b (O,) biases (None in a layer without)."""

    w: Params
    b: Params


@spec
class Conv:
    """y = x * w + b: every output is a weighted sum of the inputs under a small window, the same everywhere.

    features  O, the number of output channels
    kernel    size of the window: (5, 5) for images (B, H, W, C), (5,) for sequences (B, T, C)
    stride    how far the window moves from one output to the next
    padding   "same" (zeros around, so that stride 1 keeps the size), "valid" (none), or (before, after) for each axis
    dilation  how far apart the entries of the window are
    groups    number of equal parts that the channels are split into; each output sees one part; as many groups as
              channels make a depthwise convolution
    weights   initializer of w (*kernel, C / groups, O)
    biases    initializer of b (O,); None: a layer without biases

    stride and dilation are one int, or one per axis. The kernel is not reversed (a cross-correlation), as everywhere in
    the field. Entries at the end of an image that no window reaches are ignored.
    """

    features: int = static()
    kernel: tuple[int, ...] = static()
    stride: int | tuple[int, ...] = static(default=1)
    padding: str | tuple[Pair, ...] = static(default="same")
    dilation: int | tuple[int, ...] = static(default=1)
    groups: int = static(default=1)
    weights: Initializer = HeNormal()
    biases: Initializer | None = Zeros()

    def check(self) -> None:
        _check(self)

    @property
    def formulas(self) -> tuple[str, str]:
        return _formulas("conv(x, w)", "dw = conv(x, da) over rows; dx = conv(da, w reversed)", self.biases)

    def init(self, key: Key, in_shape: Shape) -> tuple[ConvParams, Shape]:
        """(ConvParams, out_shape); in_shape (H, W, C) or (T, C).

        Raises ValueError where window or groups do not fit.
        """
        window = self._window(in_shape[:-1])
        channels = _channels(self, in_shape[-1])
        size = math.prod(self.kernel)
        fans = size * channels, size * self.features // self.groups
        params = _drawn(self, key, (*self.kernel, channels, self.features), fans)
        return params, (*window.outputs(_size(in_shape[:-1]))[-len(self.kernel) :], self.features)

    def forward(
        self, params: ConvParams, x: Num[Array, "B *size C"], *, key: Key | None = None
    ) -> tuple[Float[Array, "B *out O"], Float[Array, "B *size C"]]:
        """y_bho = b_o + sum_ic x_b,hs+id-p,c w_ico, with x = 0 outside, stride s, dilation d, padding p. Keeps x.

        h, i and p stand for one number per axis. Raises TypeError for integers (put a `Rescale` first), ValueError for
        channels that are not w's.
        """
        _check_inputs(self, params.w, x)
        y = convolved(_image(x), _kernel(params.w), self._window(x.shape[1:-1]), self.groups)
        return _with_bias(_like(x, y), params.b), x

    def backward(
        self, params: ConvParams, x: Float[Array, "B *size C"], dy: Float[Array, "B *out O"]
    ) -> tuple[ConvParams, Float[Array, "B *size C"]]:
        """(ConvParams of gradients, dx).

        One weight w_ico is used at every place h of every row b, there with factor x_b,hs+id-p,c; so the gradients of
        all these uses add up. Likewise x_bmc is seen by every output h whose window has it at some position i, which is
        where hs + id - p = m, there with factor w_ico; and b_o is used everywhere with factor 1:

            dw_ico = sum_bh x_b,hs+id-p,c dy_bho
            db_o   = sum_bh dy_bho
            dx_bmc = sum_hio dy_bho w_ico  over hs + id - p = m

        dw and dx are convolutions themselves: of x with dy for a kernel, the rows being what is summed over; and of dy
        (s - 1 zeros between its entries) with the reversed kernel. With groups, c and o are of the same group. Source:
        LeCun, Bottou, Bengio, Haffner 1998; Dumoulin, Visin 2016, arXiv 1603.07285.
        """
        window = self._window(x.shape[1:-1])
        image, d, w = _image(x), _image(dy), _kernel(params.w)
        dw = kernel_gradient(image, d, w, window, self.groups).reshape(params.w.shape)
        dx = input_gradient(d, w, _size(x.shape[1:-1]), window, self.groups)
        return ConvParams(dw, _bias_gradient(params.b, dy)), _like(x, dx)

    def _window(self, size: Shape) -> Window:
        return window_over("Conv", size, self.kernel, self.stride, self.dilation, self.padding)


@spec
class ConvTranspose:
    """Transposed convolution, the transpose (not the inverse) of a `Conv`: every input adds a small window of outputs.

    features  O, the number of output channels
    kernel, stride, dilation, groups   as in `Conv`
    padding   what is cut off the outputs: "same" leaves size * stride (less where the dilated kernel is shorter than
              the stride), "valid" cuts nothing, (before, after) that many entries of each axis
    weights   initializer of w (*kernel, C / groups, O)
    biases    initializer of b (O,); None: a layer without biases
    """

    features: int = static()
    kernel: tuple[int, ...] = static()
    stride: int | tuple[int, ...] = static(default=1)
    padding: str | tuple[Pair, ...] = static(default="same")
    dilation: int | tuple[int, ...] = static(default=1)
    groups: int = static(default=1)
    weights: Initializer = HeNormal()
    biases: Initializer | None = Zeros()

    def check(self) -> None:
        _check(self)

    @property
    def formulas(self) -> tuple[str, str]:
        return _formulas("(every x times w, added up)", "dw = conv(da, x) over rows; dx = conv(da, w)", self.biases)

    def init(self, key: Key, in_shape: Shape) -> tuple[ConvParams, Shape]:
        """(ConvParams, out_shape); in_shape (H, W, C) or (T, C).

        An output is the sum of about kernel / stride products along each axis: that is its fan_in. An input reaches
        kernel outputs along each axis: its fan_out.
        """
        _, out = self._window(in_shape[:-1])
        channels = _channels(self, in_shape[-1])
        strides = math.prod(pair_of("ConvTranspose", "stride", self.stride, 1, len(self.kernel)))
        size = math.prod(self.kernel)
        fans = max(1, size // strides) * channels, size * self.features // self.groups
        return _drawn(self, key, (*self.kernel, channels, self.features), fans), (*out, self.features)

    def forward(
        self, params: ConvParams, x: Num[Array, "B *size C"], *, key: Key | None = None
    ) -> tuple[Float[Array, "B *out O"], Float[Array, "B *size C"]]:
        """y_bmo = b_o + sum_hic x_bhc w_ico over hs + id - p = m, stride s, dilation d, cut by p. Keeps x.

        Raises TypeError for integers (put a `Rescale` first), ValueError for channels that are not w's.
        """
        _check_inputs(self, params.w, x)
        window, out = self._window(x.shape[1:-1])
        y = input_gradient(_image(x), _swapped(_kernel(params.w), self.groups), _size(out), window, self.groups)
        return _with_bias(_like(x, y), params.b), x

    def backward(
        self, params: ConvParams, x: Float[Array, "B *size C"], dy: Float[Array, "B *out O"]
    ) -> tuple[ConvParams, Float[Array, "B *size C"]]:
        """(ConvParams of gradients, dx).

        The forward pass is the map dy -> dx of a `Conv` from O to C channels. That map is linear, and its transpose is
        the convolution itself; so dx is a convolution of dy, and w meets x and dy in exchanged places:

            dx_bhc = sum_imo dy_bmo w_ico      over m = hs + id - p
            dw_ico = sum_bh  x_bhc dy_b,hs+id-p,o
            db_o   = sum_bm  dy_bmo
        """
        window, _ = self._window(x.shape[1:-1])
        d, w = _image(dy), _swapped(_kernel(params.w), self.groups)
        dw = _swapped(kernel_gradient(d, _image(x), w, window, self.groups), self.groups).reshape(params.w.shape)
        dx = convolved(d, w, window, self.groups)
        return ConvParams(dw, _bias_gradient(params.b, dy)), _like(x, dx)

    def _window(self, size: Shape) -> tuple[Window, Shape]:
        """The window with which a `Conv` goes from the outputs to the inputs, and the size of the outputs."""
        length, padding = len(self.kernel), self.padding
        strides = pair_of("ConvTranspose", "stride", self.stride, 1, length)
        dilations = pair_of("ConvTranspose", "dilation", self.dilation, 1, length)
        spans = [(k - 1) * d + 1 for k, d in zip(self.kernel, dilations, strict=True)]
        if isinstance(padding, str):
            cut = [max(0, e - s) if padding == "same" else 0 for e, s in zip(spans, strides, strict=True)]
            padding = tuple((n // 2, n - n // 2) for n in cut)
        whole = zip(size, strides, spans, padding, strict=False)
        out = tuple((n - 1) * s + e - sum(ends) for n, s, e, ends in whole)
        if min(out, default=1) < 1:
            raise ValueError(f"ConvTranspose: padding {padding} leaves nothing of the outputs of inputs {size}")
        return window_over("ConvTranspose", (*out, *size[length:]), self.kernel, strides, dilations, padding), out


def has_convolutions(specs: object) -> bool:
    """Whether a `Conv` or a `ConvTranspose` stands anywhere in a model, a network or any pytree of specs."""
    nodes = jax.tree.leaves(specs, is_leaf=lambda node: isinstance(node, Conv | ConvTranspose))
    return any(isinstance(node, Conv | ConvTranspose) for node in nodes)


def _check(layer: Conv | ConvTranspose) -> None:
    owner, kernel = type(layer).__name__, layer.kernel
    check_sizes(layer, "features", "groups")
    if not isinstance(kernel, tuple) or len(kernel) not in (1, 2) or not all(type(n) is int and n > 0 for n in kernel):
        raise ValueError(
            f"{owner}: expected kernel to be (height, width) for images or (length,) for sequences, got {kernel!r}"
        )
    pair_of(owner, "stride", layer.stride, 1, len(kernel))
    pair_of(owner, "dilation", layer.dilation, 1, len(kernel))
    check_padding(owner, layer.padding, len(kernel))
    if layer.features % layer.groups:
        raise ValueError(f"{owner}: expected features to be a multiple of groups {layer.groups}, got {layer.features}")
    check_initializers(layer)


def _channels(layer: Conv | ConvTranspose, channels: int) -> int:
    """Channels of one group."""
    if channels % layer.groups:
        raise ValueError(
            f"{type(layer).__name__}.init: expected channels in {layer.groups} equal groups, got {channels} channels"
        )
    return channels // layer.groups


def _drawn(layer: Conv | ConvTranspose, key: Key, shape: Shape, fans: tuple[int, int]) -> ConvParams:
    weight_key, bias_key = jax.random.split(key)
    dtype = jnp.result_type(float)
    w = layer.weights(weight_key, shape, dtype, *fans)
    return ConvParams(w, None if layer.biases is None else layer.biases(bias_key, shape[-1:], dtype, *fans))


def _check_inputs(layer: Conv | ConvTranspose, w: Array, x: Array) -> None:
    owner = f"{type(layer).__name__}.forward"
    check_floating(layer, x)
    expected = (*layer.kernel, x.shape[-1] // layer.groups, layer.features)
    if w.shape != expected:
        raise ValueError(
            f"{owner}: expected w of shape {expected} for x of shape {x.shape}, got {w.shape}; are the parameters from "
            f"another network?"
        )


def _formulas(forward: str, backward: str, biases: Initializer | None) -> tuple[str, str]:
    if biases is None:
        return f"a = {forward}", backward
    return f"a = {forward} + b", f"db = sum_b(da); {backward}"


def _with_bias(y: Array, b: Array | None) -> Array:
    return y if b is None else y + b.reshape((1,) * (y.ndim - 1) + (-1,))


def _bias_gradient(b: Array | None, dy: Array) -> Array | None:
    return None if b is None else channel_sums(dy)


def _swapped(w: Float[Array, "k l I O"], groups: int) -> Float[Array, "k l J P"]:
    """The kernel from outputs to inputs, group by group: (k, l, I, g O) becomes (k, l, O, g I)."""
    k, l, i, _ = w.shape  # noqa: E741
    return w.reshape(k, l, i, groups, -1).transpose(0, 1, 4, 3, 2).reshape(k, l, -1, groups * i)


def _image(x: Array) -> Array:
    """A sequence (B, T, C) as images of height 1."""
    return x[:, None] if x.ndim == 3 else x


def _kernel(w: Array) -> Array:
    return w[None] if w.ndim == 3 else w


def _size(size: Shape) -> Pair:
    height, width = (1, *size)[-2:]
    return height, width


def _like(x: Array, image: Array) -> Array:
    """The image as a sequence where x is one."""
    return image[:, 0] if x.ndim == 3 else image
