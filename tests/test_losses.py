"""Every loss against a table of values and gradients that was worked out by hand, or with 70 decimal digits."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnnet

pytestmark = pytest.mark.usefixtures("optimized")

INF, NAN = math.inf, math.nan

# One row: output, target, loss, gradient of the output. Numbers too small or too large for a float are written
# out all the same: rounding them to 0 or inf is what the loss has to do as well.
TABLES = {
    "SigmoidBinaryCrossEntropy": """
        -inf   0     0                          0
        -1e38  0     0                          0
        -1e4   0     1.1354838653147361e-4343   1.1354838653147361e-4343
        -104   0     6.8135568215452985e-46     6.8135568215452985e-46
        -88    0     6.0546018954011859e-39     6.0546018954011859e-39
        -2     0     0.1269280110429725         0.11920292202211756
        -1     0     0.31326168751822283        0.26894142136999512
        0      0     0.69314718055994531        0.5
        1      0     1.3132616875182228         0.73105857863000488
        2      0     2.1269280110429725         0.88079707797788244
        88     0     88                         1
        104    0     104                        1
        1e4    0     10000                      1
        1e38   0     1e+38                      1
        inf    0     inf                        1
        nan    0     nan                        nan
        -inf   1     inf                        -1
        -1e38  1     1e+38                      -1
        -1e4   1     10000                      -1
        -104   1     104                        -1
        -88    1     88                         -1
        -2     1     2.1269280110429725         -0.88079707797788244
        -1     1     1.3132616875182228         -0.73105857863000488
        0      1     0.69314718055994531        -0.5
        1      1     0.31326168751822283        -0.26894142136999512
        2      1     0.1269280110429725         -0.11920292202211756
        88     1     6.0546018954011859e-39     -6.0546018954011859e-39
        104    1     6.8135568215452985e-46     -6.8135568215452985e-46
        1e4    1     1.1354838653147361e-4343   -1.1354838653147361e-4343
        1e38   1     0                          0
        inf    1     0                          0
        nan    1     nan                        nan
        -inf   0.3   inf                        -0.3
        -1e38  0.3   3e+37                      -0.3
        -1e4   0.3   3000                       -0.3
        -104   0.3   31.2                       -0.3
        -88    0.3   26.4                       -0.3
        -2     0.3   0.7269280110429725         -0.18079707797788244
        -1     0.3   0.61326168751822283        -0.031058578630004879
        0      0.3   0.69314718055994531        0.2
        1      0.3   1.0132616875182228         0.43105857863000488
        2      0.3   1.5269280110429725         0.58079707797788244
        88     0.3   61.6                       0.7
        104    0.3   72.8                       0.7
        1e4    0.3   7000                       0.7
        1e38   0.3   7e+37                      0.7
        inf    0.3   inf                        0.7
        nan    0.3   nan                        nan
    """,
    "Poisson": """
        -inf   0     0                          0
        -1e38  0     0                          0
        -1e4   0     1.1354838653147361e-4343   1.1354838653147361e-4343
        -104   0     6.8135568215452985e-46     6.8135568215452985e-46
        -88    0     6.0546018954011859e-39     6.0546018954011859e-39
        -2     0     0.13533528323661269        0.13533528323661269
        -1     0     0.36787944117144232        0.36787944117144232
        0      0     1                          1
        1      0     2.7182818284590452         2.7182818284590452
        2      0     7.3890560989306502         7.3890560989306502
        88     0     1.6516362549940019e+38     1.6516362549940019e+38
        104    0     1.4676622301554423e+45     1.4676622301554423e+45
        1e4    0     8.8068182256629216e+4342   8.8068182256629216e+4342
        1e38   0     inf                        inf
        inf    0     inf                        inf
        nan    0     nan                        nan
        -inf   1     inf                        -1
        -1e38  1     1e+38                      -1
        -1e4   1     10000                      -1
        -104   1     104                        -1
        -88    1     88                         -1
        -2     1     2.1353352832366127         -0.86466471676338731
        -1     1     1.3678794411714423         -0.63212055882855768
        0      1     1                          0
        1      1     1.7182818284590452         1.7182818284590452
        2      1     5.3890560989306502         6.3890560989306502
        88     1     1.6516362549940019e+38     1.6516362549940019e+38
        104    1     1.4676622301554423e+45     1.4676622301554423e+45
        1e4    1     8.8068182256629216e+4342   8.8068182256629216e+4342
        1e38   1     inf                        inf
        inf    1     inf                        inf
        nan    1     nan                        nan
        -inf   2.5   inf                        -2.5
        -1e38  2.5   2.5e+38                    -2.5
        -1e4   2.5   25000                      -2.5
        -104   2.5   260                        -2.5
        -88    2.5   220                        -2.5
        -2     2.5   5.1353352832366127         -2.3646647167633873
        -1     2.5   2.8678794411714423         -2.1321205588285577
        0      2.5   1                          -1.5
        1      2.5   0.21828182845904524        0.21828182845904524
        2      2.5   2.3890560989306502         4.8890560989306502
        88     2.5   1.6516362549940019e+38     1.6516362549940019e+38
        88     1e36  7.716362549940019e+37      1.6416362549940019e+38
        104    2.5   1.4676622301554423e+45     1.4676622301554423e+45
        1e4    2.5   8.8068182256629216e+4342   8.8068182256629216e+4342
        1e38   2.5   inf                        inf
        inf    2.5   inf                        inf
        nan    2.5   nan                        nan
    """,
    "SquaredError": """
        3       1     4       4
        1       3     4      -4
        1.5     1     0.25    1
        -2     -2     0       0
        0       0     0       0
        0      88     7744   -176
        104     0     10816   208
        -1e4    0     1e8    -2e4
        1e4     1e4   0       0
        1e38    0     1e76    2e38
        -1e38   0     1e76   -2e38
        1e38    1e38  0       0
        inf     1     inf     inf
        -inf    1     inf    -inf
        1       inf   inf    -inf
        nan     1     nan     nan
        1       nan   nan     nan
    """,
    "AbsoluteError": """
        3       1     2       1
        1       3     2      -1
        1.5     1     0.5     1
        -2     -2     0       0
        0       0     0       0
        0      88     88     -1
        104     0     104     1
        -1e4    0     1e4    -1
        1e4     1e4   0       0
        1e38    0     1e38    1
        1e38   -1e38  2e38    1
        -1e38   0     1e38   -1
        1e38    1e38  0       0
        inf     1     inf     1
        -inf    1     inf    -1
        1       inf   inf    -1
        nan     1     nan     nan
        1       nan   nan     nan
    """,
    "Huber": """
        1.5     1     0.125   0.5
        1       1.5   0.125  -0.5
        2       1     0.5     1
        0       1     0.5    -1
        1.25    0     0.75    1
        3       1     1.5     1
        1       3     1.5    -1
        -2     -2     0       0
        0      88     87.5   -1
        104     0     103.5   1
        -1e4    0     9999.5 -1
        1e4     1e4   0       0
        1e38    0     1e38    1
        1e38   -1e38  2e38    1
        -1e38   0     1e38   -1
        inf     1     inf     1
        -inf    1     inf    -1
        1       inf   inf    -1
        nan     1     nan     nan
        1       nan   nan     nan
    """,
    "Huber(0.5)": """
        1.25    1     0.03125 0.25
        1.5     1     0.125   0.5
        1       1.5   0.125  -0.5
        2       1     0.375   0.5
        1       3     0.875  -0.5
        0      88     43.875 -0.5
        104     0     51.875  0.5
        -1e4    0     4999.875 -0.5
        1e38    0     5e37    0.5
        -1e38   1e38  1e38   -0.5
        inf     1     inf     0.5
        -inf    1     inf    -0.5
        nan     1     nan     nan
        1       nan   nan     nan
    """,
}
ROWS = {name: np.array(text.split(), float).reshape(-1, 4) for name, text in TABLES.items()}
LOSSES = {
    "SigmoidBinaryCrossEntropy": fnnet.SigmoidBinaryCrossEntropy(),
    "Poisson": fnnet.Poisson(),
    "SquaredError": fnnet.SquaredError(),
    "AbsoluteError": fnnet.AbsoluteError(),
    "Huber": fnnet.Huber(),
    "Huber(0.5)": fnnet.Huber(0.5),
}
CROSS_ENTROPY = fnnet.SoftmaxCrossEntropy()


def rounded(numbers, dtype):
    with np.errstate(over="ignore", under="ignore"):
        return np.asarray(numbers, np.float64).astype(dtype)


def assert_rounded(got, want, absolute=0.0):
    """Equal to a few units in the last place; what is subnormal may be 0."""
    dtype = np.asarray(got).dtype
    limits = np.finfo(dtype)
    np.testing.assert_allclose(
        got, rounded(want, dtype), rtol=float(8 * limits.eps), atol=float(absolute * limits.eps + limits.tiny)
    )


@jax.jit
def value_and_gradient(loss, outputs, targets):
    per_example, residuals = loss.forward(outputs, targets)
    return per_example, loss.backward(residuals, jnp.ones_like(per_example))


@pytest.mark.parametrize("name", TABLES)
def test_values_and_gradients_are_those_of_the_table(name, dtype):
    outputs, targets, value, gradient = ROWS[name].T
    outputs, targets = (jnp.asarray(rounded(a, dtype)[:, None]) for a in (outputs, targets))
    per_example, doutputs = value_and_gradient(LOSSES[name], outputs, targets)
    assert per_example.dtype == doutputs.dtype == dtype
    assert_rounded(per_example, value)
    assert_rounded(doutputs[:, 0], gradient, 2)


@pytest.mark.parametrize("target", [0, 1, 0.3, 0.5])
def test_the_gradient_of_binary_cross_entropy_at_0_is_a_half_minus_the_target(target, dtype):
    t = jnp.full((1, 1), target, dtype)
    _, gradient = value_and_gradient(LOSSES["SigmoidBinaryCrossEntropy"], jnp.zeros((1, 1), dtype), t)
    assert float(gradient[0, 0]) == 0.5 - float(t[0, 0])


@pytest.mark.parametrize("name", TABLES)
def test_losses_sum_over_an_examples_outputs(name):
    rows = ROWS[name][:6]
    outputs, targets = (jnp.asarray(rows[:, i].reshape(2, 3), jnp.float32) for i in (0, 1))
    per_example, doutputs = value_and_gradient(LOSSES[name], outputs, targets)
    assert_rounded(per_example, rows[:, 2].reshape(2, 3).sum(1))
    assert_rounded(doutputs, rows[:, 3].reshape(2, 3), 2)


@pytest.mark.parametrize("name", TABLES)
def test_integer_targets_are_numbers_too(name):
    outputs, targets = jnp.asarray([[0.5], [-1.0]]), jnp.asarray([[1], [0]], jnp.uint8)
    got = value_and_gradient(LOSSES[name], outputs, targets)
    want = value_and_gradient(LOSSES[name], outputs, targets.astype(jnp.float32))
    np.testing.assert_array_equal(got[0], want[0])
    np.testing.assert_array_equal(got[1], want[1])


# ------------------------------------------------------------------ softmax cross-entropy
E1, E2 = math.exp(-1), math.exp(-2)
TOTAL = 1 + E1 + E2
TINY = 6.0546018954011859e-39  # e^-88
CLASSES = {  # logits, class, loss, gradient
    "a tie": ([0, 0, 0], 1, math.log(3), [1 / 3, -2 / 3, 1 / 3]),
    "a tie far from 0": ([1e4, 1e4, 1e4], 2, math.log(3), [1 / 3, 1 / 3, -2 / 3]),
    "1, 2, 3 and right": ([1, 2, 3], 2, 0.4076059644443803, [E2 / TOTAL, E1 / TOTAL, 1 / TOTAL - 1]),
    "1, 2, 3 and wrong": ([1, 2, 3], 0, 2.4076059644443803, [E2 / TOTAL - 1, E1 / TOTAL, 1 / TOTAL]),
    "88 and right": ([88, 0, 0], 0, 2 * TINY, [-2 * TINY, TINY, TINY]),
    "88 and wrong": ([88, 0, 0], 1, 88, [1, -1, TINY]),
    "104 and wrong": ([0, 104, 0], 0, 104, [-1, 1, 6.8135568215452985e-46]),
    "-104 and right": ([0, 0, -104], 2, 104 + math.log(2), [0.5, 0.5, -1]),
    "1e4 and right": ([1e4, 0, -1e4], 0, 0, [0, 0, 0]),
    "1e4 and wrong": ([1e4, 0, -1e4], 2, 2e4, [1, 0, -1]),
    "1e38 and right": ([0, 1e38, -1e38], 1, 0, [0, 0, 0]),
    "1e38 and wrong": ([0, 1e38, -1e38], 2, 2e38, [0, 1, -1]),
    "an impossible class, another true": ([-INF, 0, 0], 1, math.log(2), [0, -0.5, 0.5]),
    "an impossible class, and true": ([-INF, 0, 0], 0, INF, [-1, 0.5, 0.5]),
    "a certain class, and true": ([INF, 0, 0], 0, 0, [0, 0, 0]),
    "a certain class, another true": ([INF, 0, 0], 1, INF, [1, -1, 0]),
    "a NaN at the class": ([NAN, 0, 0], 0, NAN, [NAN] * 3),
    "a NaN at another class": ([0, NAN, 0], 2, NAN, [NAN] * 3),
    "no such class": ([1, 2, 3], 3, NAN, [NAN] * 3),
    "a class far away": ([1, 2, 3], 255, NAN, [NAN] * 3),
}
LABELS = {
    "int32": lambda classes, dtype: jnp.asarray(classes, jnp.int32),
    "uint8": lambda classes, dtype: jnp.asarray(classes, jnp.uint8),
    "one-hot": lambda classes, dtype: jnp.where(classes[:, None] > 2, NAN, np.eye(256)[classes, :3]).astype(dtype),
}


@functools.cache
def cross_entropy_of_classes(labels, dtype):
    """Loss and gradient of all rows of the table at once."""
    logits = jnp.asarray(rounded([row[0] for row in CLASSES.values()], dtype))
    targets = LABELS[labels](np.array([row[1] for row in CLASSES.values()]), dtype)
    return jax.tree.map(np.asarray, value_and_gradient(CROSS_ENTROPY, logits, targets))


@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("row", range(len(CLASSES)), ids=CLASSES)
def test_cross_entropy_of_classes_is_that_of_the_table(row, labels, dtype):
    _, _, value, gradient = [*CLASSES.values()][row]
    got_value, got_gradient = cross_entropy_of_classes(labels, dtype)
    assert got_value.dtype == got_gradient.dtype == dtype
    assert_rounded(got_value[row], value, 1)
    assert_rounded(got_gradient[row], gradient, 2)


LN2, LN3, LN5 = math.log(2), math.log(3), math.log(5)
EIGHTHS = [0, LN2, LN5]  # softmax gives 1/8, 2/8, 5/8
P = np.array([1, 2, 5]) / 8
COST = np.array([3 * LN2, 2 * LN2, 3 * LN2 - LN5])  # -log p
SOFT = {  # logits, targets, loss, gradient
    "soft at a tie": ([0, 0, 0], [0.2, 0.3, 0.5], LN3, [1 / 3 - 0.2, 1 / 3 - 0.3, 1 / 3 - 0.5]),
    "soft": (EIGHTHS, [0.5, 0.25, 0.25], COST @ [0.5, 0.25, 0.25], P - [0.5, 0.25, 0.25]),
    "the truth itself": (EIGHTHS, P, COST @ P, [0, 0, 0]),
    "a sum of 2": (EIGHTHS, [1, 1, 0], 5 * LN2, [-0.75, -0.5, 1.25]),
    "a sum of a half": (EIGHTHS, [0, 0, 0.5], (3 * LN2 - LN5) / 2, [1 / 16, 1 / 8, -3 / 16]),
    "a sum of 0": (EIGHTHS, [0, 0, 0], 0, [0, 0, 0]),
    "an impossible class that nobody asks for": ([-INF, 0, 0], [0, 0.5, 0.5], LN2, [0, 0, 0]),
    "an impossible class that somebody asks for": ([-INF, 0, 0], [0.5, 0.5, 0], INF, [-0.5, 0, 0.5]),
    "1e4": ([1e4, 0, -1e4], [0.5, 0.25, 0.25], 7500, [0.5, -0.25, -0.25]),
    "a NaN target": (EIGHTHS, [NAN, 0, 1], NAN, [NAN] * 3),
}


@functools.cache
def cross_entropy_of_soft_targets(dtype):
    logits, targets = (jnp.asarray(rounded([row[i] for row in SOFT.values()], dtype)) for i in (0, 1))
    return jax.tree.map(np.asarray, value_and_gradient(CROSS_ENTROPY, logits, targets))


@pytest.mark.parametrize("row", range(len(SOFT)), ids=SOFT)
def test_cross_entropy_of_soft_targets_is_that_of_the_table(row, dtype):
    _, _, value, gradient = [*SOFT.values()][row]
    got_value, got_gradient = cross_entropy_of_soft_targets(dtype)
    assert_rounded(got_value[row], value, 2)
    assert_rounded(got_gradient[row], gradient, 4)


@pytest.mark.parametrize(
    ("smoothing", "target", "smooth"),
    [
        (None, 0, [1, 0, 0]),
        (0, 0, [1, 0, 0]),
        (0.3, 0, [0.8, 0.1, 0.1]),
        (0.3, 2, [0.1, 0.1, 0.8]),
        (1, 1, [1 / 3, 1 / 3, 1 / 3]),
        (0.3, [0.5, 0.5, 0.0], [0.45, 0.45, 0.1]),
        (0.3, [1.0, 1.0, 0.0], [0.8, 0.8, 0.1]),
    ],
)
def test_label_smoothing_takes_a_share_of_the_target_and_gives_it_to_all_classes(smoothing, target, smooth, dtype):
    targets = jnp.asarray([target], dtype if isinstance(target, list) else jnp.int32)
    loss = fnnet.SoftmaxCrossEntropy(label_smoothing=smoothing)
    value, gradient = value_and_gradient(loss, jnp.asarray([EIGHTHS], dtype), targets)
    assert_rounded(value, [COST @ smooth], 2)
    assert_rounded(gradient, [P * sum(smooth) - smooth], 4)


def test_cross_entropy_of_a_sequence_is_the_sum_over_time(dtype):
    logits = jnp.asarray([[[0, 0, 0], EIGHTHS], [EIGHTHS, EIGHTHS], [EIGHTHS, EIGHTHS]], dtype)
    classes = jnp.asarray([[1, 0], [2, 1], [0, 3]], jnp.int32)
    values = [LN3 + COST[0], COST[2] + COST[1], NAN]
    third = np.full(3, 1 / 3)
    one = np.eye(4, 3)
    one[3] = NAN
    gradients = [[third - one[1], P - one[0]], [P - one[2], P - one[1]], [P - one[0], one[3]]]
    for targets in (classes, jnp.asarray(one[classes], dtype)):
        value, gradient = value_and_gradient(CROSS_ENTROPY, logits, targets)
        assert_rounded(value, values, 2)
        assert_rounded(gradient, gradients, 2)


def test_a_class_out_of_range_spoils_its_own_row_only():
    logits = jnp.zeros((4, 3))
    value, gradient = value_and_gradient(CROSS_ENTROPY, logits, jnp.asarray([0, -1, 3, 2]))
    assert np.isnan(value).tolist() == [False, True, True, False]
    assert np.isnan(gradient).all(1).tolist() == np.isnan(gradient).any(1).tolist() == [False, True, True, False]


# ------------------------------------------------------------------ what holds for all
EVERY = {"SoftmaxCrossEntropy": CROSS_ENTROPY, **LOSSES}


@pytest.mark.parametrize("name", EVERY)
def test_each_row_of_the_gradient_is_multiplied_by_its_dper_example(name):
    outputs = jnp.asarray([[1.5, -1, 2], [0.25, 1, 3], [-2, 0.5, 1], [1, 0.75, 0]], jnp.float32)
    _, residuals = EVERY[name].forward(outputs, jnp.asarray([[0.5, 0.25, 0.25]] * 4, jnp.float32))
    one, some = (EVERY[name].backward(residuals, jnp.asarray(d, jnp.float32)) for d in ([1] * 4, [1, 2, 0, -0.5]))
    np.testing.assert_array_equal(some, one * np.array([[1], [2], [0], [-0.5]], np.float32))
    assert np.all(np.asarray(one) != 0)


@pytest.mark.parametrize("name", EVERY)
def test_bfloat16_stays_bfloat16(name):
    outputs, targets = jnp.asarray([[0.5, -1.0]], jnp.bfloat16), jnp.asarray([[1.0, 0.0]], jnp.bfloat16)
    value, gradient = value_and_gradient(EVERY[name], outputs, targets)
    want_value, want_gradient = value_and_gradient(EVERY[name], *(a.astype(jnp.float32) for a in (outputs, targets)))
    assert value.dtype == gradient.dtype == EVERY[name].predict(outputs).dtype == jnp.bfloat16
    np.testing.assert_allclose(value.astype(jnp.float32), want_value, rtol=0.02)
    np.testing.assert_allclose(gradient.astype(jnp.float32), want_gradient, rtol=0.02)


@pytest.mark.parametrize("name", EVERY)
def test_targets_take_the_dtype_of_the_outputs(name):
    outputs, targets = jnp.asarray([[0.5, -1.0]], jnp.bfloat16), jnp.asarray([[1.0, 0.0]], jnp.float32)
    value, gradient = value_and_gradient(EVERY[name], outputs, targets)
    want_value, want_gradient = value_and_gradient(EVERY[name], outputs, targets.astype(jnp.bfloat16))
    assert value.dtype == gradient.dtype == jnp.bfloat16
    np.testing.assert_array_equal(value, want_value)
    np.testing.assert_array_equal(gradient, want_gradient)


@pytest.mark.parametrize(
    ("name", "outputs", "predicted"),
    [
        ("SoftmaxCrossEntropy", EIGHTHS, P),
        ("SoftmaxCrossEntropy", [1e4, 0, -1e4], [1, 0, 0]),
        ("SigmoidBinaryCrossEntropy", [0, -LN3, 1e4], [0.5, 0.25, 1]),
        ("SigmoidBinaryCrossEntropy", [-1e4, INF, NAN], [0, 1, NAN]),
        ("SquaredError", [-1, 0, 1e38], [-1, 0, 1e38]),
        ("AbsoluteError", [-1, 0, 1e38], [-1, 0, 1e38]),
        ("Huber", [-1, 0, 1e38], [-1, 0, 1e38]),
        ("Poisson", [0, LN5, -1e4], [1, 5, 0]),
    ],
)
def test_predictions_are_what_outputs_mean(name, outputs, predicted, dtype):
    got = EVERY[name].predict(jnp.asarray([rounded(outputs, dtype)]))
    assert got.dtype == dtype
    assert_rounded(got, [predicted], 2)


SEQUENCE = [[[0, 1], [1, 0]], [[0, 1], [1, 0]]]
THREE = [[[0, 1], [0, 1], [1, 0]]] * 2  # more times than classes


@pytest.mark.parametrize(
    ("name", "outputs", "targets", "correct"),
    [
        ("SoftmaxCrossEntropy", [[0, 2, 1], [0, 2, 1], [3, 2, 1]], np.array([1, 2, 0], np.uint8), [1, 0, 1]),
        ("SoftmaxCrossEntropy", [[0, 2, 1], [0, 2, 1], [3, 2, 1]], np.array([1, 2, 0], np.int32), [1, 0, 1]),
        ("SoftmaxCrossEntropy", [[0, 2, 1], [0, 2, 1]], np.array([[0.2, 0.5, 0.3], [0.4, 0.3, 0.3]]), [1, 0]),
        ("SoftmaxCrossEntropy", [[0, 2, 1], [5, 2, 1]], np.array([-1, 3]), [0, 0]),
        ("SoftmaxCrossEntropy", SEQUENCE, np.array([[1, 0], [1, 1]]), [1, 0]),
        ("SoftmaxCrossEntropy", SEQUENCE, np.array([[[0.1, 0.9], [1, 0]], [[1, 0], [1, 0]]]), [1, 0]),
        ("SoftmaxCrossEntropy", [[NAN, 0], [1, 0]], np.array([0, 0]), [0, 1]),
        ("SoftmaxCrossEntropy", THREE, np.array([[1, 1, 0], [1, 1, 1]]), [1, 0]),
        ("SoftmaxCrossEntropy", THREE, np.array([[[0, 1], [0, 1], [1, 0]], [[0, 1], [0, 1], [0, 1.0]]]), [1, 0]),
        ("SigmoidBinaryCrossEntropy", [[1], [1], [-1], [-1]], np.array([[1.0], [0], [1], [0]]), [1, 0, 0, 1]),
        ("SigmoidBinaryCrossEntropy", [[1, -2], [1, -2], [-1, 2]], np.array([[1, 0], [1, 1], [1, 1]]), [1, 0, 0]),
        ("SigmoidBinaryCrossEntropy", [[0.1], [-0.1]], np.array([[0.7], [0.3]]), [1, 1]),
        ("SigmoidBinaryCrossEntropy", SEQUENCE, np.array([[[0, 1], [1, 0]], [[0, 1], [1, 1]]]), [1, 0]),
        ("SigmoidBinaryCrossEntropy", [[0], [0]], np.array([[0], [1]]), [1, 0]),  # 1/2 itself counts as a no
        ("SigmoidBinaryCrossEntropy", [[0.1], [-0.1]], np.array([[0.5], [0.5]]), [0, 1]),
    ],
)
def test_accuracy_counts_these_rows_as_correct(name, outputs, targets, correct):
    targets = jnp.asarray(targets.astype({"f": np.float32, "i": np.int32, "u": np.uint8}[targets.dtype.kind]))
    got = EVERY[name].correct(jnp.asarray(outputs, jnp.float32), targets)
    assert got.tolist() == [bool(c) for c in correct]


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize(
    ("outputs", "targets", "message"),
    [
        ((2, 1), (2,), r"expected targets of shape \(2, 1\), got \(2,\); write np.asarray\(y\)\[..., None\]$"),
        ((2, 3), (2, 2), r"expected targets of shape \(2, 3\), got \(2, 2\)$"),
        ((2, 3), (2,), r".*got \(2,\); for classes take SoftmaxCrossEntropy, or targets jax.nn.one_hot\(y, 3\)$"),
        ((2, 3), (1, 3), r"expected targets of shape \(2, 3\), got \(1, 3\)$"),
        ((2, 4, 3), (2, 3), r"expected outputs of shape \(2, 3\) for .* got \(2, 4, 3\); put Flatten\(\) before"),
        ((2, 4, 1), (2,), r"expected outputs of shape \(2, 1\) for targets of shape \(2,\), got \(2, 4, 1\); put Fl"),
        ((2, 4, 3), (2, 4), r"expected targets of shape \(2, 4, 3\), got \(2, 4\); for classes take"),
        ((2, 1), (2, 1, 1), r"expected targets of shape \(2, 1\), got \(2, 1, 1\)$"),
    ],
)
def test_targets_of_another_shape_are_refused(name, outputs, targets, message, untyped):
    with pytest.raises(ValueError, match=f"^{type(LOSSES[name]).__name__}: {message}"):
        LOSSES[name].forward(jnp.zeros(outputs), jnp.zeros(targets))


@pytest.mark.parametrize(
    ("logits", "targets", "message"),
    [
        (
            (2, 3),
            jnp.zeros((2,)),
            r"integer classes of shape \(2,\) or probabilities .*, got float32 of shape \(2,\); write np.asarray",
        ),
        ((2, 3), jnp.zeros((2, 3), jnp.int32), r"integer classes of shape \(2,\) .* got int32 of shape \(2, 3\)$"),
        (
            (2, 3),
            jnp.zeros((2, 1), jnp.int32),
            r"integer classes of shape \(2,\) .* got int32 of shape \(2, 1\); write np.asarray\(y\)\[:, 0\]",
        ),
        ((2, 3), jnp.zeros((3,), jnp.uint8), r"integer classes of shape \(2,\) .* got uint8 of shape \(3,\)$"),
        ((2, 3), jnp.zeros((2, 4)), r"probabilities of shape \(2, 3\), got float32 of shape \(2, 4\)$"),
        (
            (2, 4, 3),
            jnp.zeros((2, 4)),
            r"integer classes of shape \(2, 4\) .* got float32 of shape \(2, 4\); write np.as",
        ),
        ((2, 4, 3), jnp.zeros((2, 4, 1), jnp.int32), r"integer classes of shape \(2, 4\) .* of shape \(2, 4, 1\)$"),
        ((2, 3), jnp.zeros((3, 1), jnp.int32), r"integer classes of shape \(2,\) .* got int32 of shape \(3, 1\)$"),
        ((2, 4, 3), jnp.zeros((3,), jnp.int32), r"integer classes of shape \(2, 4\) .* got int32 of shape \(3,\)$"),
    ],
)
def test_targets_that_are_neither_classes_nor_probabilities_are_refused(logits, targets, message, untyped):
    with pytest.raises(ValueError, match=rf"^SoftmaxCrossEntropy: for outputs of shape .* expected .*{message}"):
        CROSS_ENTROPY.forward(jnp.zeros(logits), targets)


@pytest.mark.parametrize("targets", [jnp.zeros(2, jnp.int32), jnp.zeros((2, 3)), jnp.zeros((2, 1), jnp.int32)])
def test_a_network_that_keeps_an_axis_is_told_to_flatten(targets, untyped):
    with pytest.raises(
        ValueError, match=r"expected outputs of shape \(2, 3\) for targets .*got \(2, 4, 3\); put Flatten"
    ):
        CROSS_ENTROPY.forward(jnp.zeros((2, 4, 3)), targets)


@pytest.mark.parametrize("targets", [np.zeros(4, int), np.arange(4) % 2, np.zeros((4, 1)), np.ones((4, 1))])
def test_one_output_has_no_softmax(targets):
    with pytest.raises(ValueError, match=r"softmax of one output is always 1.* use SigmoidBinaryCrossEntropy"):
        CROSS_ENTROPY.check_targets(targets, (1,))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: fnnet.Huber(0), "Huber: expected 0 < delta, got 0"),
        (lambda: fnnet.Huber(-1), "Huber: expected 0 < delta, got -1"),
        (lambda: fnnet.Huber(NAN), "Huber: expected 0 < delta, got nan"),
        (lambda: fnnet.SoftmaxCrossEntropy(1.5), "SoftmaxCrossEntropy: expected 0 <= label_smoothing <= 1, got 1.5"),
        (lambda: fnnet.SoftmaxCrossEntropy(-0.1), "SoftmaxCrossEntropy: expected 0 <= label_smoothing <= 1, got -0.1"),
    ],
)
def test_numbers_that_make_no_loss_are_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_probabilities_that_are_given_are_checked():
    """Of rows and of sequences of other lengths than there are classes; NaN passes."""
    check = fnnet.SoftmaxCrossEntropy().check_targets
    check(np.full((3, 2), 0.5), (2,))
    check(np.full((3, 4, 2), 0.5), (4, 2))
    check(np.array([[np.nan, 0.5]]), (2,))
    with pytest.raises(ValueError, match=r"^expected probabilities from 0 to 1, got 0.0 to 1.5$"):
        check(np.array([[1.5, 0.0]]), (2,))
    with pytest.raises(ValueError, match=r"^expected probabilities that sum to 1 in every row, got sums from 0.5"):
        check(np.array([[[0.5, 0.0], [0.5, 0.5]]]), (2, 2))
