"""The fast forms of the three convolutions against sums over the positions of the kernel."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnnet
from fnnet._windows import Window, window_over
from fnnet._xla import banded, canonical, channel_sums, convolutions, interleaving, materialized
from fnnet._xla.compile_once import jit_once
from tests._xla import plain_convolutions as plain

pytestmark = pytest.mark.usefixtures("float64")

RNG = np.random.default_rng(0)
CASES = [  # image, kernel, channels, features, stride, dilation, padding, groups
    ((6, 7), (3, 3), 1, 4, 1, 1, "same", 1),
    ((5, 9), (5, 2), 1, 3, 1, 1, "valid", 1),
    ((4, 10), (2, 7), 3, 2, 1, 1, ((0, 1), (2, 0)), 1),
    ((7, 6), (3, 3), 2, 4, 2, 1, "same", 1),
    ((8, 8), (3, 3), 5, 2, 3, 1, "valid", 1),
    ((9, 8), (3, 2), 4, 3, (1, 2), (2, 3), ((2, 1), (0, 3)), 1),
    ((5, 5), (3, 3), 16, 8, 1, 1, "same", 1),
    ((3, 4), (1, 1), 40, 3, 1, 1, "valid", 1),
    ((2, 37), (2, 3), 2, 2, 1, 1, "same", 1),
    ((4, 21), (2, 3), 2, 2, (1, 2), (2, 3), "same", 1),
    ((4, 5), (3, 3), 40, 2, 2, 1, ((4, 4), (5, 3)), 1),
    ((5, 6), (3, 3), 6, 4, 1, 1, "same", 2),
    ((5, 6), (3, 3), 4, 4, 2, 1, "same", 4),
    ((5, 6), (2, 3), 3, 6, 1, 2, ((1, 1), (0, 2)), 3),
]


def drawn(image, kernel, channels, features, stride, dilation, padding, groups):
    window = window_over("Conv", image, kernel, stride, dilation, padding)
    x = RNG.normal(size=(3, *image, channels))
    w = RNG.normal(size=(*kernel, channels // groups, features))
    dy = RNG.normal(size=(3, *window.outputs(image), features))
    return *map(jnp.asarray, (x, w, dy)), window


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_form_gives_what_the_sums_give(case):
    """All three as they are chosen; and for one group canonical, and banded with few and with many outputs at once."""
    x, w, dy, window = drawn(*case)
    image, groups = x.shape[1:3], case[-1]

    def computed(x, w, dy):
        y = [convolutions.convolved(x, w, window, groups)]
        dw = [convolutions.kernel_gradient(x, dy, w, window, groups)]
        dx = [convolutions.input_gradient(dy, w, image, window, groups)]
        if groups == 1:
            y += [canonical.convolved(x, w, window)]
            dw += [canonical.kernel_gradient(x, dy, window)]
            dx += [form.input_gradient(dy, w, image, window) for form in (canonical, banded)]
        if groups == 1 and window.stride == window.dilation == (1, 1):
            y += [banded.convolved(x, w, window, t) for t in (1, 2, 5)]
            dw += [banded.kernel_gradient(x, dy, window, t) for t in (1, 2, 5)]
        return y, dw, dx

    def summed(x, w, dy):
        given = (window, groups)
        return (
            plain.convolved(x, w, *given),
            plain.kernel_gradient(x, dy, w, *given),
            plain.input_gradient(dy, w, image, *given),
        )

    found, wanted = jit_once(lambda *args: (computed(*args), summed(*args)))(x, w, dy)
    for results, want in zip(found, wanted, strict=True):
        for result in results:
            np.testing.assert_allclose(result, want, rtol=0, atol=1e-12 * float(jnp.abs(want).max()))


def test_every_form_is_chosen_somewhere():
    """Else the table of cases would not cover the choice."""
    windows = [(drawn(*case), case[-1]) for case in CASES]
    at_once = [banded.outputs_at_once(w, window) for (_, w, _, window), groups in windows if groups == 1]
    narrow = [banded.is_narrow(dy, w, x.shape[1:3], window) for (x, w, dy, window), groups in windows if groups == 1]
    assert len(set(at_once)) >= 3
    assert None in at_once
    assert set(map(bool, narrow)) == {True, False}


@pytest.mark.parametrize("size", [(2, 2), (1, 3), (3, 2)], ids=str)
@pytest.mark.parametrize("padding", [((0, 0), (0, 0)), ((1, 0), (0, 1))], ids=str)
def test_disjoint_windows_are_interleaved_to_what_their_sum_is(size, padding):
    """Images that the windows fit into, and images with rows and columns left over."""
    disjoint = Window(size, size, (1, 1), padding)
    for image in ((6, 6), (7, 5)):
        outputs = disjoint.outputs(image)
        parts = [jnp.asarray(RNG.normal(size=(2, *outputs, 3))) for _ in disjoint.positions()]
        wanted = sum(disjoint.placed(p, where, image) for p, where in zip(parts, disjoint.positions(), strict=True))
        np.testing.assert_array_equal(interleaving.summed(parts, disjoint, image), wanted)
        padded = disjoint.padded(jnp.asarray(RNG.normal(size=(2, *image, 3))), -jnp.inf)
        seen = jnp.stack([disjoint.seen(padded, where, outputs) for where in disjoint.positions()])
        np.testing.assert_array_equal(interleaving.largest(padded, disjoint, outputs), seen.max(0))


@pytest.mark.parametrize(
    "window",
    [
        Window((2, 3), (1, 2), (1, 1), ((1, 0), (0, 1))),
        Window((2, 2), (2, 2), (2, 1), ((0, 0), (0, 0))),
        Window((2, 2), (2, 2), (1, 2), ((0, 0), (0, 0))),
    ],
    ids=["overlapping", "gaps in columns", "gaps in rows"],
)
def test_windows_that_are_not_side_by_side_are_summed(window):
    image, outputs = (6, 7), window.outputs((6, 7))
    parts = [jnp.asarray(RNG.normal(size=(2, *outputs, 3))) for _ in window.positions()]
    wanted = sum(window.placed(p, where, image) for p, where in zip(parts, window.positions(), strict=True))
    np.testing.assert_allclose(interleaving.summed(parts, window, image), wanted, rtol=1e-14)
    padded = window.padded(jnp.asarray(RNG.normal(size=(2, *image, 3))), -jnp.inf)
    seen = jnp.stack([window.seen(padded, where, outputs) for where in window.positions()])
    np.testing.assert_array_equal(interleaving.largest(padded, window, outputs), seen.max(0))


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_channel_sums_are_sums(dtype):
    """Rows by fours and one by one; so many channels that they are not taken together."""
    for shape in ((4, 3, 5, 2), (3, 5, 2), (3, 5, 64)):
        a = jnp.asarray(RNG.normal(size=shape), dtype)
        found = channel_sums.channel_sums(a)
        assert found.dtype == a.dtype
        wanted = np.asarray(a, np.float64).sum(tuple(range(a.ndim - 1)))
        limits = {"rtol": 4 * float(jnp.finfo(dtype).eps), "atol": 1e-2}
        np.testing.assert_allclose(np.asarray(found, np.float64), wanted, **limits)


def test_seen_and_placed_are_transposes_of_each_other():
    """<placed(y), x> = <y, seen(x)> for any x and y, cropped and dilated windows included."""
    for window in (
        Window((3, 2), (2, 1), (1, 3), ((1, 2), (0, 1))),
        Window((2, 2), (1, 2), (2, 1), ((-1, 0), (0, -1))),
    ):
        image = (7, 8)
        x = jnp.asarray(RNG.normal(size=(2, *image, 3)))
        for where in window.positions():
            seen = window.seen(window.padded(x), where, window.outputs(image))
            y = jnp.asarray(RNG.normal(size=seen.shape))
            assert abs(float((window.placed(y, where, image) * x).sum() - (y * seen).sum())) < 1e-12


@pytest.mark.parametrize("ends", [((1, 0), (0, 0)), ((0, 1), (0, 0)), ((0, 0), (1, 0)), ((0, 0), (0, 1))], ids=str)
def test_an_image_is_padded_on_the_side_that_is_said(ends):
    x = RNG.normal(size=(2, 3, 4, 1))
    padded = Window((2, 2), (1, 1), (1, 1), ends).padded(jnp.asarray(x))
    np.testing.assert_array_equal(padded, np.pad(x, ((0, 0), *ends, (0, 0))))


def test_on_other_devices_the_native_forms_are_used(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    x, w, dy, window = drawn(*CASES[0])
    banded_calls = []
    monkeypatch.setattr(banded, "convolved", lambda *args: banded_calls.append(args))
    monkeypatch.setattr(banded, "input_gradient", lambda *args: banded_calls.append(args))
    np.testing.assert_allclose(convolutions.convolved(x, w, window, 1), plain.convolved(x, w, window, 1), rtol=1e-10)
    convolutions.input_gradient(dy, w, x.shape[1:3], window, 1)
    assert not banded_calls


EVERY_CONVOLUTION = (
    fnnet.Reshape((12, 12, 1)),
    fnnet.Conv(16, (5, 5)),
    fnnet.MaxPool((2, 2)),
    fnnet.Conv(32, (3, 3), stride=2, dilation=(1, 2)),
    fnnet.Conv(32, (3, 3), groups=2),
    fnnet.Conv(32, (3, 3), groups=32),
    fnnet.ConvTranspose(40, (3, 3), stride=2),
    fnnet.Conv(40, (3, 3)),
    fnnet.GlobalMeanPool(),
    fnnet.Dense(3),
)


def test_every_convolution_of_a_compiled_run_is_in_the_fast_form(optimized):
    """In the scan of `train`: images (B, H, W, C), kernels (k, l, C, O), none reversed, grouped or transposed."""
    model = fnnet.Model(fnnet.Serial(EVERY_CONVOLUTION), fnnet.SoftmaxCrossEntropy(), (12, 12))
    optimizer, key = fnnet.Sgd(0.1), jax.random.key(0)
    state = fnnet.init_state(model, optimizer, key)
    data = fnnet.Batch(jnp.ones((8, 12, 12)), jnp.zeros(8, "int32"))
    program = fnnet.train.lower(model, optimizer, state, data, epochs=2, batch_size=4, shuffle=key).compile()
    found = [line for line in program.as_text().splitlines() if " convolution(" in line]
    assert len(found) >= 8
    for line in found:
        assert "dim_labels=b01f_01io->b01f" in line, line
        assert "rhs_reversal" not in line, line
        assert "group_count" not in line, line


def test_automatic_differentiation_is_not_in_the_fast_form(optimized):
    """The test above could fail: the gradient that JAX derives of the same convolution is in another form."""
    window = window_over("Conv", (12, 12), (3, 3), 1, 1, "same")

    def loss(w, x):
        return (canonical.convolved(x, w, window) ** 2).sum()

    def step(w, x):
        return jax.lax.scan(lambda w, x: (w - jax.grad(loss)(w, x), 0), w, x)

    text = jax.jit(step).lower(jnp.ones((3, 3, 8, 8)), jnp.ones((4, 2, 12, 12, 8))).compile().as_text()
    forms = [line for line in text.splitlines() if " convolution(" in line]
    assert any("dim_labels=b01f_01io->b01f" not in line for line in forms)


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_what_is_materialized_is_the_same_array(dtype):
    x = jnp.asarray(RNG.normal(size=(3, 4)), dtype).at[0, 0].set(jnp.nan)
    for f in (materialized.materialized, jax.jit(materialized.materialized), jax.vmap(materialized.materialized)):
        np.testing.assert_array_equal(np.asarray(f(x), np.float64), np.asarray(x, np.float64))
