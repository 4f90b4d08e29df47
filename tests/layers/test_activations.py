"""Every activation against a table of f(x) and f'(x) that was worked out with 70 decimal digits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnnet

pytestmark = pytest.mark.usefixtures("optimized")

# One row: x, f(x), f'(x). Numbers too small or too large for a float are written out all the same: rounding
# them to 0 or inf is what the function has to do as well. At a kink f' is the derivative from the left.
TABLES = {
    "Identity": """
        -inf    -inf                       1
        -1e38   -1e+38                     1
        -1e4    -10000                     1
        -104    -104                       1
        -88     -88                        1
        -3      -3                         1
        -2      -2                         1
        -1      -1                         1
        -0.5    -0.5                       1
        0       0                          1
        0.5     0.5                        1
        1       1                          1
        2       2                          1
        3       3                          1
        88      88                         1
        104     104                        1
        1e4     10000                      1
        1e38    1e+38                      1
        inf     inf                        1
    """,
    "Sigmoid": """
        -inf    0                          0
        -1e38   0                          0
        -1e4    1.1354838653147361e-4343   1.1354838653147361e-4343
        -104    6.8135568215452985e-46     6.8135568215452985e-46
        -88     6.0546018954011859e-39     6.0546018954011859e-39
        -3      0.047425873177566781       0.045176659730912133
        -2      0.11920292202211756        0.10499358540350652
        -1      0.26894142136999512        0.19661193324148185
        -0.5    0.37754066879814544        0.23500371220159449
        0       0.5                        0.25
        0.5     0.62245933120185456        0.23500371220159449
        1       0.73105857863000488        0.19661193324148185
        2       0.88079707797788244        0.10499358540350652
        3       0.95257412682243322        0.045176659730912133
        88      1                          6.0546018954011859e-39
        104     1                          6.8135568215452985e-46
        1e4     1                          1.1354838653147361e-4343
        1e38    1                          0
        inf     1                          0
    """,
    "HardSigmoid": """
        -inf    0                          0
        -1e38   0                          0
        -1e4    0                          0
        -104    0                          0
        -88     0                          0
        -3      0                          0
        -2.9990234375 0.00016276041666666667  0.16666666666666667
        -2      0.16666666666666667        0.16666666666666667
        -1      0.33333333333333333        0.16666666666666667
        -0.5    0.41666666666666667        0.16666666666666667
        0       0.5                        0.16666666666666667
        0.5     0.58333333333333333        0.16666666666666667
        1       0.66666666666666667        0.16666666666666667
        2       0.83333333333333333        0.16666666666666667
        2.9990234375 0.99983723958333333   0.16666666666666667
        3       1                          0
        88      1                          0
        104     1                          0
        1e4     1                          0
        1e38    1                          0
        inf     1                          0
    """,
    "Tanh": """
        -inf    -1                         0
        -1e38   -1                         0
        -1e4    -1                         5.157294433560375e-8686
        -104    -1                         1.8569822624170588e-90
        -88     -1                         1.4663281644718253e-76
        -3      -0.99505475368673045       0.0098660371654401913
        -2      -0.96402758007581688       0.070650824853164466
        -1      -0.76159415595576489       0.41997434161402607
        -0.5    -0.46211715726000976       0.78644773296592741
        0       0                          1
        0.5     0.46211715726000976        0.78644773296592741
        1       0.76159415595576489        0.41997434161402607
        2       0.96402758007581688        0.070650824853164466
        3       0.99505475368673045        0.0098660371654401913
        88      1                          1.4663281644718253e-76
        104     1                          1.8569822624170588e-90
        1e4     1                          5.157294433560375e-8686
        1e38    1                          0
        inf     1                          0
    """,
    "Relu": """
        -inf    0                          0
        -1e38   0                          0
        -1e4    0                          0
        -104    0                          0
        -88     0                          0
        -3      0                          0
        -2      0                          0
        -1      0                          0
        -0.5    0                          0
        0       0                          0
        0.5     0.5                        1
        1       1                          1
        2       2                          1
        3       3                          1
        88      88                         1
        104     104                        1
        1e4     10000                      1
        1e38    1e+38                      1
        inf     inf                        1
    """,
    "LeakyRelu": """
        -inf    -inf                       0.01
        -1e38   -1e+36                     0.01
        -1e4    -100                       0.01
        -104    -1.04                      0.01
        -88     -0.88                      0.01
        -3      -0.03                      0.01
        -2      -0.02                      0.01
        -1      -0.01                      0.01
        -0.5    -0.005                     0.01
        0       0                          0.01
        0.5     0.5                        1
        1       1                          1
        2       2                          1
        3       3                          1
        88      88                         1
        104     104                        1
        1e4     10000                      1
        1e38    1e+38                      1
        inf     inf                        1
    """,
    "LeakyRelu(0.25)": """
        -inf    -inf                       0.25
        -1e38   -2.5e+37                   0.25
        -1e4    -2500                      0.25
        -104    -26                        0.25
        -88     -22                        0.25
        -3      -0.75                      0.25
        -2      -0.5                       0.25
        -1      -0.25                      0.25
        -0.5    -0.125                     0.25
        0       0                          0.25
        0.5     0.5                        1
        1       1                          1
        2       2                          1
        3       3                          1
        88      88                         1
        104     104                        1
        1e4     10000                      1
        1e38    1e+38                      1
        inf     inf                        1
    """,
    "Elu": """
        -inf    -1                         0
        -1e38   -1                         0
        -1e4    -1                         1.1354838653147361e-4343
        -104    -1                         6.8135568215452985e-46
        -88     -1                         6.0546018954011859e-39
        -3      -0.95021293163213606       0.049787068367863943
        -2      -0.86466471676338731       0.13533528323661269
        -1      -0.63212055882855768       0.36787944117144232
        -0.5    -0.39346934028736658       0.60653065971263342
        0       0                          1
        0.5     0.5                        1
        1       1                          1
        2       2                          1
        3       3                          1
        88      88                         1
        104     104                        1
        1e4     10000                      1
        1e38    1e+38                      1
        inf     inf                        1
    """,
    "Elu(0.5)": """
        -inf    -0.5                       0
        -1e38   -0.5                       0
        -1e4    -0.5                       5.6774193265736805e-4344
        -104    -0.5                       3.4067784107726493e-46
        -88     -0.5                       3.0273009477005929e-39
        -3      -0.47510646581606803       0.024893534183931971
        -2      -0.43233235838169365       0.067667641618306346
        -1      -0.31606027941427884       0.18393972058572116
        -0.5    -0.19673467014368329       0.30326532985631671
        0       0                          0.5
        0.5     0.5                        1
        1       1                          1
        2       2                          1
        3       3                          1
        88      88                         1
        104     104                        1
        1e4     10000                      1
        1e38    1e+38                      1
        inf     inf                        1
    """,
    "Selu": """
        -inf    -1.7580993408473769        0
        -1e38   -1.7580993408473769        0
        -1e4    -1.7580993408473769        1.9962934351526692e-4343
        -104    -1.7580993408473769        1.1978909756784937e-45
        -88     -1.7580993408473769        1.0644591601398103e-38
        -3      -1.670568728767112         0.087530612080264885
        -2      -1.520166468595695         0.23793287225168182
        -1      -1.1113307378125628        0.6467686030348141
        -0.5    -0.6917581878028714        1.0663411530445055
        0       0                          1.7580993408473769
        0.5     0.52535049367774025        1.0507009873554805
        1       1.0507009873554805         1.0507009873554805
        2       2.101401974710961          1.0507009873554805
        3       3.1521029620664415         1.0507009873554805
        88      92.461686887282283         1.0507009873554805
        104     109.27290268496997         1.0507009873554805
        1e4     10507.009873554805         1.0507009873554805
        1e38    1.0507009873554805e+38     1.0507009873554805
        inf     inf                        1.0507009873554805
    """,
    "Gelu": """
        -inf    0                          0
        -1e38   0                          0
        -1e4    -3.2044055119008403e-21714725 -3.2044055119008397e-21714721
        -104    -8.6359832106753306e-2350  -8.9814223856261242e-2348
        -88     -1.0294851184012834e-1682  -9.0594687399904796e-1681
        -3      -0.0040496940948902836     -0.011945647204183927
        -2      -0.045500263896358414      -0.085231801078196897
        -1      -0.15865525393145705       -0.083315470587686298
        -0.5    -0.15426876936299345       0.13250487534383716
        0       0                          0.5
        0.5     0.34573123063700655        0.86749512465616284
        1       0.84134474606854295        1.0833154705876863
        2       1.9544997361036416         1.0852318010781969
        3       2.9959503059051097         1.0119456472041839
        88      88                         1
        104     104                        1
        1e4     10000                      1
        1e38    1e+38                      1
        inf     inf                        1
    """,
    "Gelu(approximate)": """
        -inf    0                          0
        -1e38   0                          0
        -1e4    -1.7869531960314946e-30989009891 -3.825231794855497e-30989009884
        -104    -3.3705090250296541e-34929 -7.8091567361191404e-34926
        -88     -6.6021715631589257e-21178 -1.0954979954717513e-21174
        -3      -0.0036373920817730188     -0.011584166630969726
        -2      -0.045402305912224981      -0.086099256623618382
        -1      -0.1588080093917233        -0.082964083845782555
        -0.5    -0.15428599017485608       0.13263009646535769
        0       0                          0.5
        0.5     0.34571400982514392        0.86736990353464231
        1       0.8411919906082767         1.0829640838457826
        2       1.954597694087775          1.0860992566236184
        3       2.996362607918227          1.0115841666309697
        88      88                         1
        104     104                        1
        1e4     10000                      1
        1e38    1e+38                      1
        inf     inf                        1
    """,
    "Silu": """
        -inf    0                          0
        -1e38   0                          0
        -1e4    -1.1354838653147361e-4339  -1.1353703169282046e-4339
        -104    -7.0860990944071105e-44    -7.0179635261916575e-44
        -88     -5.3280496679530436e-37    -5.2675036489990317e-37
        -3      -0.14227761953270034       -0.088104106015169617
        -2      -0.23840584404423511       -0.090784248784895479
        -1      -0.26894142136999512       0.072329488128513268
        -0.5    -0.18877033439907272       0.26003881269734819
        0       0                          0.5
        0.5     0.31122966560092728        0.73996118730265181
        1       0.73105857863000488        0.92767051187148673
        2       1.7615941559557649         1.0907842487848955
        3       2.8577223804672997         1.0881041060151696
        88      88                         1
        104     104                        1
        1e4     10000                      1
        1e38    1e+38                      1
        inf     inf                        1
    """,
    "Softplus": """
        -inf    0                          0
        -1e38   0                          0
        -1e4    1.1354838653147361e-4343   1.1354838653147361e-4343
        -104    6.8135568215452985e-46     6.8135568215452985e-46
        -88     6.0546018954011859e-39     6.0546018954011859e-39
        -3      0.048587351573742059       0.047425873177566781
        -2      0.1269280110429725         0.11920292202211756
        -1      0.31326168751822283        0.26894142136999512
        -0.5    0.47407698418010668        0.37754066879814544
        0       0.69314718055994531        0.5
        0.5     0.97407698418010668        0.62245933120185456
        1       1.3132616875182228         0.73105857863000488
        2       2.1269280110429725         0.88079707797788244
        3       3.0485873515737421         0.95257412682243322
        88      88                         1
        104     104                        1
        1e4     10000                      1
        1e38    1e+38                      1
        inf     inf                        1
    """,
    "Exp": """
        -inf    0                          0
        -1e38   0                          0
        -1e4    1.1354838653147361e-4343   1.1354838653147361e-4343
        -104    6.8135568215452985e-46     6.8135568215452985e-46
        -88     6.0546018954011859e-39     6.0546018954011859e-39
        -3      0.049787068367863943       0.049787068367863943
        -2      0.13533528323661269        0.13533528323661269
        -1      0.36787944117144232        0.36787944117144232
        -0.5    0.60653065971263342        0.60653065971263342
        0       1                          1
        0.5     1.6487212707001281         1.6487212707001281
        1       2.7182818284590452         2.7182818284590452
        2       7.3890560989306502         7.3890560989306502
        3       20.085536923187668         20.085536923187668
        88      1.6516362549940019e+38     1.6516362549940019e+38
        104     1.4676622301554423e+45     1.4676622301554423e+45
        1e4     8.8068182256629216e+4342   8.8068182256629216e+4342
        1e38    inf                        inf
        inf     inf                        inf
    """,
}
ROWS = {name: np.array(text.split(), float).reshape(-1, 3) for name, text in TABLES.items()}
SPECS = {
    "Identity": fnnet.Identity(),
    "Sigmoid": fnnet.Sigmoid(),
    "HardSigmoid": fnnet.HardSigmoid(),
    "Tanh": fnnet.Tanh(),
    "Relu": fnnet.Relu(),
    "LeakyRelu": fnnet.LeakyRelu(),
    "LeakyRelu(0.25)": fnnet.LeakyRelu(0.25),
    "Elu": fnnet.Elu(),
    "Elu(0.5)": fnnet.Elu(0.5),
    "Selu": fnnet.Selu(),
    "Gelu": fnnet.Gelu(),
    "Gelu(approximate)": fnnet.Gelu(approximate=True),
    "Silu": fnnet.Silu(),
    "Softplus": fnnet.Softplus(),
    "Exp": fnnet.Exp(),
    "Softmax": fnnet.Softmax(),
}

# These derivatives are written with y, or with 1 + tanh: exact to eps of 1, and not of themselves where they are small.
FROM_OUTPUT = {"Sigmoid", "Tanh", "Elu", "Elu(0.5)", "Selu", "Gelu(approximate)"}


def rounded(numbers, dtype):
    with np.errstate(over="ignore", under="ignore"):
        return np.asarray(numbers, np.float64).astype(dtype)


def assert_rounded(got, want, absolute=0.0):
    """Equal to a few units in the last place; what is subnormal, or has a subnormal factor, may be 0."""
    dtype = np.asarray(got).dtype
    limits = np.finfo(dtype)
    np.testing.assert_allclose(
        got, rounded(want, dtype), rtol=float(8 * limits.eps), atol=float(absolute * limits.eps + 200 * limits.tiny)
    )


@jax.jit
def value_and_derivative(activation, x):
    y, residuals = activation.forward((), x)
    dparams, dx = activation.backward((), residuals, jnp.ones_like(x))
    return y, dparams, dx


@pytest.mark.parametrize("name", TABLES)
def test_values_and_derivatives_are_those_of_the_table(name, dtype):
    x, value, derivative = ROWS[name].T
    y, dparams, dx = value_and_derivative(SPECS[name], jnp.asarray(rounded(x, dtype)))
    assert y.dtype == dx.dtype == dtype
    assert dparams == ()
    assert_rounded(y, value, 8 * (name == "Gelu(approximate)"))
    assert_rounded(dx, derivative, 8 * (name in FROM_OUTPUT))


@pytest.mark.parametrize("name", [*TABLES, "Softmax"])
def test_a_nan_stays_a_nan_forward_and_backward(name, dtype):
    x = jnp.full((20,), jnp.nan, dtype)  # as long as a table, so that nothing compiles again
    y, _, dx = value_and_derivative(SPECS[name], x)
    assert np.isnan(y).all()
    assert np.isnan(dx).all() or name == "Identity"  # whose derivative is 1 whatever comes in


@pytest.mark.parametrize("name", TABLES)
def test_backward_multiplies_by_dy(name):
    rows = ROWS[name][np.abs(ROWS[name][:, 0]) < 10]
    x, dy = jnp.asarray(rows[:, 0], jnp.float32), jnp.linspace(-2, 3, len(rows), dtype=jnp.float32)
    _, residuals = SPECS[name].forward((), x)
    _, dx = SPECS[name].backward((), residuals, dy)
    assert_rounded(dx, np.linspace(-2, 3, len(rows)) * rows[:, 2], 8)


@pytest.mark.parametrize("name", TABLES)
def test_jax_grad_can_referee_far_out_too(name, float64):
    """Both sides of a `where` are differentiated, and 0 * inf would be NaN."""
    rows = ROWS[name][np.isin(ROWS[name][:, 0], [-1e4, -104, 104, 1e4])]
    slopes = jax.vmap(jax.grad(lambda x: SPECS[name].forward((), x)[0]))(jnp.asarray(rows[:, 0]))
    assert_rounded(slopes, rows[:, 2], 8)


@pytest.mark.parametrize("name", [*TABLES, "Softmax"])
def test_activations_have_no_parameters_and_keep_the_shape(name):
    assert SPECS[name].init(jax.random.key(0), (4, 5)) == ((), (4, 5))


@pytest.mark.parametrize("alpha", [-1, -1e-9, float("nan")])
def test_elu_refuses_an_alpha_below_0(alpha):
    with pytest.raises(ValueError, match="Elu: expected 0 <= alpha, got"):
        fnnet.Elu(alpha)


INF, NAN = float("inf"), float("nan")
E1, E2, E3 = 2.718281828459045, 7.38905609893065, 20.085536923187668
SOFTMAX = {
    "one entry": ([7.0], [1.0]),
    "a tie of two": ([0.0, 0.0], [0.5, 0.5]),
    "a tie of three far from 0": ([1e4, 1e4, 1e4], [1 / 3] * 3),
    "a tie of four far below 0": ([-1e4] * 4, [0.25] * 4),
    "odds of 1 to 3": ([0.0, 1.0986122886681098], [0.25, 0.75]),
    "1, 2, 3": ([1.0, 2.0, 3.0], [E1 / (E1 + E2 + E3), E2 / (E1 + E2 + E3), E3 / (E1 + E2 + E3)]),
    "a shift changes nothing": (
        [1e4 + 1, 1e4 + 2, 1e4 + 3],
        [0.09003057317038046, 0.24472847105479764, 0.6652409557748218],
    ),
    "88 to 0": ([88.0, 0.0], [1.0, 6.0546018954011859e-39]),
    "104 to 0": ([0.0, 104.0], [6.8135568215452985e-46, 1.0]),
    "1e4, 0, -1e4": ([1e4, 0.0, -1e4], [1.0, 0.0, 0.0]),
    "the largest twice": ([1e4, -1e4, 1e4], [0.5, 0.0, 0.5]),
    "1e38 and -1e38": ([1e38, -1e38], [1.0, 0.0]),
    "an impossible class": ([-INF, 0.0, 0.0], [0.0, 0.5, 0.5]),
    "one possible class": ([-INF, -1e4, -INF], [0.0, 1.0, 0.0]),
    "a certain class": ([INF, 0.0], [1.0, 0.0]),
    "a NaN": ([0.0, NAN, 1.0], [NAN, NAN, NAN]),
}


@pytest.mark.parametrize("name", SOFTMAX)
def test_softmax_rows_are_those_of_the_table(name, dtype):
    x, want = SOFTMAX[name]
    y, _ = fnnet.Softmax().forward((), jnp.asarray([x], dtype))
    assert y.dtype == dtype
    # 1e4 + 1 and ln 3 are rounded before softmax sees them
    assert_rounded(y[0], want, 2)


def test_softmax_takes_each_row_for_itself():
    x = jnp.asarray([[[0.0, 0.0], [jnp.nan, 0.0]], [[1e4, 0.0], [0.0, -1e4]]])
    y, _ = fnnet.Softmax().forward((), x)
    np.testing.assert_array_equal(y, [[[0.5, 0.5], [NAN, NAN]], [[1, 0], [1, 0]]])


# y = (1, 2, 5) / 8 at x = (0, ln 2, ln 5); the Jacobian is diag(y) - y y^T, in 64ths
JACOBIAN = np.array([[7, -2, -5], [-2, 12, -10], [-5, -10, 15]]) / 64


def test_the_jacobian_of_softmax_is_the_one_worked_out_by_hand(dtype):
    x = jnp.asarray([[0.0, 0.6931471805599453, 1.6094379124341003]] * 3, dtype)
    y, residuals = fnnet.Softmax().forward((), x)
    _, dx = fnnet.Softmax().backward((), residuals, jnp.eye(3, dtype=dtype))
    assert_rounded(y, [[1 / 8, 2 / 8, 5 / 8]] * 3, 2)
    assert_rounded(dx, JACOBIAN, 2)


def test_softmax_of_an_impossible_class_moves_only_the_others(dtype):
    x = jnp.asarray([[-jnp.inf, 0.0, 0.0]] * 3, dtype)
    _, residuals = fnnet.Softmax().forward((), x)
    _, dx = fnnet.Softmax().backward((), residuals, jnp.eye(3, dtype=dtype))
    np.testing.assert_array_equal(dx, [[0, 0, 0], [0, 0.25, -0.25], [0, -0.25, 0.25]])
