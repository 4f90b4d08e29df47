"""Layers as PyTorch computes them: references/layers.npz against fnnet, in float64, to 1e-10.

The id of a test is PyTorch's own expression. references/make_layers.py says what was drawn. PyTorch has channels first:
axes are moved here, and nothing else.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnnet
from fnnet._xla.compile_once import jit_once
from fnnet.layers import BatchNormParams, ConvParams, NormParams
from fnnet.layers.normalization import RmsNormParams

pytestmark = pytest.mark.usefixtures("float64")

FILE = np.load(Path(__file__).parent / "references" / "layers.npz", allow_pickle=False)
OURS = {
    "torch.nn.Conv2d(1, 4, 3, padding='same')": fnnet.Conv(4, (3, 3)),
    "torch.nn.Conv2d(3, 2, (5, 3), stride=(2, 1))": fnnet.Conv(2, (5, 3), stride=(2, 1), padding="valid"),
    "torch.nn.Conv2d(4, 6, 3, stride=2, padding=1, dilation=2, groups=2)": fnnet.Conv(
        6, (3, 3), stride=2, padding=((1, 1), (1, 1)), dilation=2, groups=2
    ),
    "torch.nn.Conv2d(3, 6, 3, stride=3, padding=(2, 0), groups=3)": fnnet.Conv(
        6, (3, 3), stride=3, padding=((2, 2), (0, 0)), groups=3
    ),
    "torch.nn.Conv1d(2, 3, 3, stride=2, padding=2, dilation=2)": fnnet.Conv(
        3, (3,), stride=2, padding=((2, 2),), dilation=2
    ),
    "torch.nn.ConvTranspose2d(3, 2, 3, stride=2)": fnnet.ConvTranspose(2, (3, 3), stride=2, padding="valid"),
    "torch.nn.ConvTranspose2d(4, 6, (2, 3), stride=(3, 2), padding=(0, 1), groups=2)": fnnet.ConvTranspose(
        6, (2, 3), stride=(3, 2), padding=((0, 0), (1, 1)), groups=2
    ),
    "torch.nn.ConvTranspose1d(2, 3, 3, stride=3, padding=1, dilation=2)": fnnet.ConvTranspose(
        3, (3,), stride=3, padding=((1, 1),), dilation=2
    ),
    "torch.nn.MaxPool2d(2)": fnnet.MaxPool((2, 2)),
    "torch.nn.MaxPool2d(3, stride=2, padding=1)": fnnet.MaxPool((3, 3), stride=2, padding=((1, 1), (1, 1))),
    "torch.nn.MaxPool1d(3, stride=1, padding=1)": fnnet.MaxPool((3,), stride=1, padding=((1, 1),)),
    "torch.nn.AvgPool2d(2)": fnnet.MeanPool((2, 2)),
    "torch.nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False)": fnnet.MeanPool(
        (3, 3), stride=2, padding=((1, 1), (1, 1))
    ),
    "torch.nn.AdaptiveAvgPool2d(1)": fnnet.GlobalMeanPool(),
    "torch.nn.AdaptiveMaxPool2d(1)": fnnet.GlobalMaxPool(),
    "torch.nn.LayerNorm(5)": fnnet.LayerNorm(),
    "torch.nn.RMSNorm(5, eps=1e-3)": fnnet.RmsNorm(epsilon=1e-3),
    "torch.nn.GroupNorm(2, 6)": fnnet.GroupNorm(2),
    "torch.nn.BatchNorm1d(5, momentum=0.1)": fnnet.BatchNorm(decay=0.9),
    "torch.nn.BatchNorm2d(3, momentum=0.2, eps=1e-3)": fnnet.BatchNorm(decay=0.8, epsilon=1e-3),
    "torch.nn.BatchNorm2d(3).eval()": fnnet.BatchNorm(),
}


def stored(row):
    """Name -> array of a row, images and sequences with their channels last."""
    found = {name.split("|")[1]: FILE[name] for name in FILE.files if name.split("|")[0] == row}
    images = {name: np.moveaxis(a, 1, -1) for name, a in found.items() if name in ("x", "y", "dx", "dy")}
    if "Adaptive" in row:
        images |= {name: images[name].reshape(len(images[name]), -1) for name in ("y", "dy")}
    return {name: jnp.asarray(a) for name, a in (found | images).items()}


def kernel(row, layer, w):
    """PyTorch's (O, I, ...) as (..., I, O); its transposed kernels are (I, O / groups, ...)."""
    if "Transpose" not in row:
        return jnp.moveaxis(w, (0, 1), (-1, -2))
    w = jnp.moveaxis(w, (0, 1), (-2, -1))
    groups, inputs, outputs = layer.groups, *w.shape[-2:]
    w = w.reshape(*w.shape[:-2], groups, inputs // groups, outputs)
    return jnp.moveaxis(w, -3, -2).reshape(*w.shape[:-3], inputs // groups, groups * outputs)


def parameters(row, layer, r, d=""):
    if "Conv" in row:
        return ConvParams(kernel(row, layer, r[f"{d}weight"]), r[f"{d}bias"])
    if "RMS" in row:
        return RmsNormParams(r[f"{d}weight"])
    if "BatchNorm" in row:
        start = {"mean": jnp.zeros_like(r["weight"]), "variance": jnp.ones_like(r["weight"])}
        if "eval" in row:
            start = {"mean": r["running_mean"], "variance": r["running_var"]}
        if d:
            start = {name: jnp.zeros_like(r["weight"]) for name in start}
        return BatchNormParams(r[f"{d}weight"], r[f"{d}bias"], fnnet.Statistics(**start))
    return NormParams(r[f"{d}weight"], r[f"{d}bias"]) if "Norm" in row else ()


@pytest.mark.parametrize("row", OURS)
def test_outputs_and_gradients_are_those_of(row):
    layer, r = OURS[row], stored(row)
    params = parameters(row, layer, r)
    key = None if "eval" in row else jax.random.key(0)

    def both(params, x, dy):
        y, residuals = layer.forward(params, x, key=key)
        return y, *layer.backward(params, residuals, dy)

    y, dparams, dx = jit_once(both)(params, r["x"], r["dy"])
    np.testing.assert_allclose(y, r["y"], rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(dx, r["dx"], rtol=1e-10, atol=1e-12)
    wanted = parameters(row, layer, r, "d")
    assert jax.tree.structure(dparams) == jax.tree.structure(wanted)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12), dparams, wanted)


@pytest.mark.parametrize("row", [row for row in OURS if "BatchNorm" in row and "eval" not in row])
def test_running_statistics_are_those_of(row):
    """But for the variance, of which PyTorch stores the unbiased one, n / (n - 1) times ours."""
    layer, r = OURS[row], stored(row)
    params = parameters(row, layer, r)
    _, residuals = layer.forward(params, r["x"], key=jax.random.key(0))
    running = layer.absorb(params, residuals).statistics
    n = r["x"].size // r["x"].shape[-1]
    np.testing.assert_allclose(running.mean, r["running_mean"], rtol=1e-10)
    unbiased = layer.decay + (running.variance - layer.decay) * n / (n - 1)
    np.testing.assert_allclose(unbiased, r["running_var"], rtol=1e-10)
