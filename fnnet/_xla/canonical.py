"""The three convolutions of a layer in the one form that a CPU computes fast inside a scan.

Works around: XLA rewrites the convolutions of a program's entry computation into their fast form and leaves those
              inside a scan or a loop alone (jax issue 12868), where automatic differentiation's dw and dx are 14 to
              250 times slower. One form needs no rewriting: images (B, H, W, C), kernels (k, l, C, O). So transposes
              and reversals are operations of their own here, and not dimension numbers.
Gains:        a training step of a small convolutional network in a scan is dozens of times as fast as automatic
              differentiation's (`python -m experiments.benchmarks.convolutions`).
Can go:       when XLA rewrites convolutions wherever they stand. The plain version, a sum over the positions of the
              kernel, is in tests/_xla/plain_convolutions.py.
"""

from collections.abc import Sequence

from jax import lax
from jaxtyping import Array, Float

from fnnet._windows import Pair, Window
from fnnet._xla.materialized import materialized


def convolved(x: Float[Array, "B H W C"], w: Float[Array, "k l C O"], window: Window) -> Float[Array, "B h w O"]:
    """y_bhwo = sum_ijc x_b,hs+id-p,ws+jd-p,c w_ijco, with stride s, dilation d, padding p; x is 0 outside."""
    return _convolution(x, w, window.stride, window.padding, (1, 1), window.dilation)


def kernel_gradient(x: Float[Array, "B H W C"], dy: Float[Array, "B h w O"], window: Window) -> Float[Array, "k l C O"]:
    """dw_ijco = sum_bhw x_b,hs+id-p,ws+jd-p,c dy_bhwo.

    A convolution again: rows are what is summed over, so they stand where channels stood; the kernel is dy, its entries
    s apart, and it moves by d.
    """
    ends = [
        (low, (k - 1) * d + (m - 1) * s + 1 - n - low)
        for n, m, k, s, d, (low, _) in zip(x.shape[1:3], dy.shape[1:3], *window, strict=True)
    ]
    images, kernels = materialized(x).transpose(3, 1, 2, 0), dy.transpose(1, 2, 0, 3)
    return _convolution(images, kernels, window.dilation, ends, (1, 1), window.stride).transpose(1, 2, 0, 3)


def input_gradient(
    dy: Float[Array, "B h w O"], w: Float[Array, "k l C O"], image: Pair, window: Window
) -> Float[Array, "B H W C"]:
    """dx_bmnc = sum dy_bhwo w_ijco over hs + id - p = m and ws + jd - p = n, for images of (H, W).

    A convolution again: of dy, with s - 1 zeros between its entries, and the kernel reversed, from outputs to inputs.
    """
    ends = [
        ((k - 1) * d - low, n + low - (m - 1) * s - 1)
        for n, m, k, s, d, (low, _) in zip(image, dy.shape[1:3], *window, strict=True)
    ]
    reversed_kernel = w[::-1, ::-1].swapaxes(2, 3)
    return _convolution(dy, reversed_kernel, (1, 1), ends, window.stride, window.dilation)


def _convolution(
    x: Array, w: Array, stride: Pair, padding: Sequence[Pair], x_dilation: Pair, w_dilation: Pair
) -> Array:
    return lax.conv_general_dilated(
        x, w, stride, padding, x_dilation, w_dilation, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
