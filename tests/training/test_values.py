"""What a person hands over is converted or refused, with a word on what to do, before anything is computed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnnet
from fnnet import Batch
from fnnet._values import as_array
from tests.helpers.bits import bits

RNG = np.random.default_rng(0)
X = RNG.normal(size=(24, 3)).astype(np.float32)
CLASSES = RNG.integers(0, 2, 24).astype(np.int32)
BINARY = CLASSES[:, None].astype(np.float32)
MODEL = fnnet.mlp((3, 4, 2))
OPTIMIZER = fnnet.Adam(0.01)
PARAMS = fnnet.init(MODEL, jax.random.key(0))


def fitted(data, loss=None, **settings):
    model = MODEL if loss is None else fnnet.mlp((3, 4, 1), loss=loss)
    state = fnnet.init_state(model, OPTIMIZER, jax.random.key(0))
    settings = {"epochs": 1, "batch_size": 8, "shuffle": jax.random.key(1), "progress": False} | settings
    return fnnet.fit(model, OPTIMIZER, state, data, **settings)


class Series:
    """As much of a pandas Series as is asked of one."""

    def __init__(self, values, name, missing=()):
        self.values, self.name, self.dtype, self.missing = np.asarray(values), name, np.asarray(values).dtype, missing

    def isna(self):
        return np.isin(np.arange(len(self.values)), self.missing)

    def to_numpy(self):
        return self.values

    def __len__(self):
        return len(self.values)


class Frame:
    """As much of a pandas DataFrame."""

    def __init__(self, **columns):
        self.series = [column if isinstance(column, Series) else Series(column, n) for n, column in columns.items()]
        self.columns = list(columns)
        self.iloc = self

    def __getitem__(self, index):
        return self.series[index[1]]

    def to_numpy(self):
        return np.stack([s.values for s in self.series], 1)

    def __len__(self):
        return len(self.series[0])


FRAME = Frame(a=X[:, 0], b=X[:, 1], c=X[:, 2])
SAME = {
    "lists": (X.tolist(), CLASSES.tolist()),
    "tuples": (tuple(map(tuple, X.tolist())), tuple(CLASSES.tolist())),
    "a frame and a series": (FRAME, Series(CLASSES.astype(np.int64), "label")),
    "nothing masked": (np.ma.array(X), np.ma.array(CLASSES, mask=False)),
    "another byte order": (X.astype(">f4"), CLASSES.astype(">i4")),
    "64 bits": (X.astype(np.float64), CLASSES.astype(np.int64)),
    "objects of pandas": (Frame(a=X[:, 0].astype(object), b=X[:, 1], c=X[:, 2]), CLASSES),
    "JAX": (jnp.asarray(X), jnp.asarray(CLASSES)),
}


@pytest.mark.parametrize("name", SAME)
def test_what_means_the_same_trains_the_same(name):
    expected, history = fitted(Batch(X, CLASSES), validation=Batch(X, CLASSES))
    given = Batch(*SAME[name])
    state, same = fitted(given, validation=given)
    assert bits((state, same)) == bits((expected, history))
    assert bits(fnnet.evaluate(MODEL, state.params, given)) == bits(
        fnnet.evaluate(MODEL, state.params, Batch(X, CLASSES))
    )


REFUSED = {
    "strings": (np.array(["a", "b"]), TypeError, "expected numbers, got <U1"),
    "objects": (np.array([1.0, None], object), TypeError, r"got object \(such as NoneType\)"),
    "dates": (np.array(["2020-01-01"], "M8[D]"), TypeError, "expected numbers, got datetime64"),
    "complex": (np.ones(3, complex), TypeError, "expected real numbers of at most 64 bits"),
    "longdouble": (np.ones(3, np.longdouble), TypeError, "expected real numbers of at most 64 bits"),
    "masked": (np.ma.array([1.0, 2.0], mask=[False, True]), ValueError, "expected no masked entries, got 1"),
    "ragged": ([[1.0], [1.0, 2.0]], ValueError, "expected rows of one shape"),
    "large": (np.array([2**40]), ValueError, "expected integers from -2147483648 to 2147483647, got 1099511627776"),
    "beyond float32": (np.array([[1.0], [1e39]]), ValueError, r"numbers that float32 can hold, got 1e\+39 at \(1, 0\)"),
    "unsigned": (np.array([2**32], np.uint64), ValueError, "expected integers from 0 to 4294967295"),
    "a missing value": (
        Frame(age=Series([1.0, np.nan], "age", [1])),
        ValueError,
        "column 'age', got a missing .* row 1",
    ),
    "a text column": (Frame(name=["x", "y"]), TypeError, "expected numbers in column 'name', got <U1 such as"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_number_is_refused_by_name(name, untyped):
    value, kind, message = REFUSED[name]
    with pytest.raises(kind, match=rf"fit: data.x: .*{message}"):
        as_array("fit", "data.x", value)


def test_large_integers_are_computed_with_where_64_bits_are_on(float64):
    assert as_array("fit", "x", np.array([2**40])).dtype == np.int64


def test_rows_of_several_labels_are_no_probabilities():
    labels = np.stack([CLASSES, 1 - CLASSES], 1).astype(np.float32)
    fitted(Batch(X, labels))
    with pytest.raises(ValueError, match="sum to 1 in every row, got sums from 1 to 2; where several labels"):
        fitted(Batch(X, np.maximum(labels, (np.arange(24) == 3)[:, None].astype(np.float32))))


TARGETS = {
    "-1 and 1": (fnnet.SigmoidBinaryCrossEntropy(), 2 * BINARY - 1, "expected targets from 0 to 1 .*, got -1.0 to 1.0"),
    "0 and 2": (fnnet.SigmoidBinaryCrossEntropy(), 2 * BINARY, "expected targets from 0 to 1"),
    "negative counts": (fnnet.Poisson(), -BINARY, "expected counts of 0 or more, got -1.0"),
}


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("caller", ["fit", "validation", "evaluate"])
def test_targets_without_a_meaning_are_refused(name, caller):
    loss, targets, message = TARGETS[name]
    good, bad = Batch(X, np.abs(BINARY)), Batch(X, targets)
    model = fnnet.mlp((3, 4, 1), loss=loss)
    call = {
        "fit": lambda: fitted(bad, loss),
        "validation": lambda: fitted(good, loss, validation=bad),
        "evaluate": lambda: fnnet.evaluate(model, fnnet.init(model, jax.random.key(0)), bad),
    }[caller]
    with pytest.raises(ValueError, match=message):
        call()


def test_the_ends_of_what_targets_may_be_are_allowed():
    """Classes 0 and the last, 0 and 1, a count of 0; sums of probabilities within a thousandth; NaN passes."""
    fnnet.Poisson().check_targets(np.array([[0.0, 3.0]]), (2,))
    fnnet.SigmoidBinaryCrossEntropy().check_targets(np.array([[0.0, 1.0]]), (2,))
    softmax, padded = fnnet.SoftmaxCrossEntropy(), fnnet.SoftmaxCrossEntropy(no_target=-1)
    softmax.check_targets(np.array([0, 2]), (3,))
    padded.check_targets(np.array([[0, -1, 2]]), (3, 3))
    padded.check_targets(np.array([[-1, -1]]), (2, 3))
    softmax.check_targets(np.array([[0.0, 1.0], [0.4, 0.6009], [np.nan, 1.0]]), (2,))
    refused = (
        (softmax, np.array([0, 3]), (3,), "classes 0 to 2 for the network's 3 outputs, got 0 to 3"),
        (softmax, np.array([-1, 2]), (3,), "classes 0 to 2 for the network's 3 outputs, got -1 to 2"),
        (padded, np.array([-2, 2]), (3,), "classes 0 to 2"),
        (softmax, np.array([[-0.1, 1.1]]), (2,), "probabilities from 0 to 1, got -0.1 to 1.1"),
        (softmax, np.array([[0.4, 0.6], [0.4, 0.602]]), (2,), "sum to 1 in every row, got sums from 1 to 1.002"),
        (softmax, np.array([[0.3, 0.3]]), (2,), "sum to 1 in every row"),
    )
    for loss, targets, shape, message in refused:
        with pytest.raises(ValueError, match=message):
            loss.check_targets(targets, shape)


def test_targets_of_rows_that_do_not_count_are_not_looked_at():
    weights = (np.arange(24) > 0).astype(np.float32)
    targets = BINARY.copy()
    targets[0] = 7
    fitted(Batch(X, targets, weights), fnnet.SigmoidBinaryCrossEntropy())


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones((24, 1)), r"expected data.weights of shape \(rows,\), got \(24, 1\); write weights.ravel\(\)"),
        (np.where(np.arange(24) == 5, -1.0, 1.0), "finite numbers of 0 or more, got -1.0 in row 5"),
        (np.where(np.arange(24) == 5, np.nan, 1.0), "finite numbers of 0 or more, got nan in row 5"),
        (np.ones(23), "as many targets"),
        (np.zeros(24), "a row of the data to train on with a weight above 0"),
        (np.ones(24, complex), "expected real numbers"),
        (np.full(24, 1e300), r"numbers that float32 can hold, got 1e\+300"),
        (np.full(24, 1e38), r"data.weights with a sum that float32 can hold, got 2.4e\+39; divide them by their mean"),
        (np.full(24, 1e-45), "with a sum that float32 can hold, got 2.4e-44"),
    ],
)
def test_weights_that_are_none_are_refused(weights, message):
    with pytest.raises((ValueError, TypeError), match=message):
        fitted(Batch(X, CLASSES, weights))


def test_a_row_that_is_not_finite_is_named_as_it_stands_in_the_data():
    x = X.copy()
    x[17, 1] = np.nan
    with pytest.raises(fnnet.NonFiniteError, match="from row 17 of the data"):
        fitted(Batch(x, CLASSES))
    with pytest.raises(fnnet.NonFiniteError) as caught:
        fitted(Batch(x, CLASSES), validation=0.2, shuffle=jax.random.key(3))
    assert caught.value.culprit.row == 17


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: fnnet.init_state(MODEL, "adam", jax.random.key(0)), TypeError, "init_state: expected optimizer to be"),
        (lambda: fnnet.init_state("mlp", OPTIMIZER, jax.random.key(0)), TypeError, "init_state: expected model to be"),
        (lambda: fitted(Batch(X, CLASSES), batch_size=8.0), ValueError, "an int above 0 as batch_size, .* 8.0"),
        (lambda: fitted(Batch(X[:0], CLASSES[:0])), ValueError, "expected rows in data, got none"),
        (lambda: fitted(Batch(X, CLASSES), validation=(X, CLASSES)), TypeError, "expected validation to be a Batch"),
        (lambda: fitted(Batch(X, CLASSES), validation=0.2, early_stopping=5), TypeError, r"such as EarlyStopping\(\)"),
        (lambda: fitted(Batch(X, CLASSES), validation=0.2, plateau=3), TypeError, r"such as ReduceOnPlateau\(\)"),
        (lambda: fitted(Batch(X, CLASSES), history=[1]), TypeError, "expected history to be that of an earlier fit"),
        (lambda: fitted(Batch(X, CLASSES), mesh=3), TypeError, "expected a mesh such as"),
        (lambda: fitted((X, CLASSES)), TypeError, r"expected data to be a Batch, got tuple; write fnnet.Batch\(x, y\)"),
        (lambda: fitted(Batch(X, CLASSES), epochs=True), ValueError, "fit: expected epochs to be an int of 1 or more"),
        (lambda: fitted(Batch(X, CLASSES), shuffle=0), TypeError, r"shuffle to be a key .*key\(0\), got 0"),
        (lambda: fitted(Batch(None, CLASSES)), TypeError, "fit: data.x: expected an array of numbers, got None"),
        (lambda: fitted(Batch(X, None)), TypeError, "fit: data.y: expected an array of numbers, got None"),
        (lambda: fitted(Batch(1.0, 1)), ValueError, r"fit: expected rows in data, got none: x has shape \(\)"),
        (lambda: jax.jit(lambda x: fitted(Batch(x, CLASSES)))(X), TypeError, "fit: expected numbers, got tracers"),
        (
            lambda: jax.vmap(lambda x: fitted(Batch(x, CLASSES)))(X[None]),
            TypeError,
            "fit: expected numbers, got tracer",
        ),
        (lambda: jax.jit(lambda: fitted(Batch(X, CLASSES)))(), TypeError, "fnnet.train, which gives the same states"),
        (lambda: fnnet.init_state(MODEL, OPTIMIZER, 0), TypeError, r"init_state: expected key .* jax.random.key\(0\)"),
        (lambda: fnnet.forward(MODEL, PARAMS, X, key=0), TypeError, r"forward: expected key .* jax.random.key\(0\)"),
        (lambda: fnnet.check_gradients(MODEL, key=0), TypeError, r"check_gradients: expected key .*key\(0\), got 0"),
        (lambda: fnnet.predict(MODEL, PARAMS, None), TypeError, "predict: x: expected an array of numbers, got None"),
        (lambda: fnnet.predict(MODEL, None, X), ValueError, "expected parameters of 3 layers, got NoneType"),
        (lambda: fnnet.backprop(MODEL, PARAMS, (X, CLASSES)), TypeError, "backprop: expected batch to be a Batch"),
    ],
)
def test_arguments_of_another_kind_are_refused(call, kind, message, untyped):
    with pytest.raises(kind, match=message):
        call()


def test_the_state_of_another_optimizer_is_refused():
    state = fnnet.init_state(MODEL, fnnet.Sgd(0.1), jax.random.key(0))
    with pytest.raises(ValueError, match="got that of another optimizer"):
        fnnet.fit(MODEL, OPTIMIZER, state, Batch(X, CLASSES), epochs=1, batch_size=8, shuffle=None, progress=False)


PARAMETERS = {
    "forward": fnnet.forward,
    "predict": fnnet.predict,
    "evaluate": lambda model, params, x: fnnet.evaluate(model, params, Batch(x, CLASSES)),
    "loss": lambda model, params, x: fnnet.loss(model, params, x, CLASSES),
    "backprop": lambda model, params, x: fnnet.backward(model, params, x, CLASSES),
    "saliency": fnnet.saliency,
    "trace": lambda model, params, x: fnnet.trace(model, params, x, CLASSES),
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_state_is_no_parameters(name, untyped):
    state = fnnet.init_state(
        fnnet.mlp((3, 4, 2), dropout=0.5), OPTIMIZER, jax.random.key(0)
    )  # four layers, four fields
    with pytest.raises(TypeError, match=rf"^{name}: expected the parameters .*, got a TrainState; pass state.params"):
        PARAMETERS[name](fnnet.mlp((3, 4, 2), dropout=0.5), state, X)


PURE = {
    "train_step": lambda state, data: fnnet.train_step(MODEL, OPTIMIZER, state, data),
    "train_epoch": lambda state, data: fnnet.train_epoch(MODEL, OPTIMIZER, state, data, batch_size=8, shuffle=None),
    "train": lambda state, data: fnnet.train(MODEL, OPTIMIZER, state, data, epochs=1, batch_size=8, shuffle=None),
}


@pytest.mark.parametrize("name", PURE)
@pytest.mark.parametrize(
    ("data", "message"),
    [
        ((X, CLASSES), "expected data to be a Batch, got tuple"),
        (Batch(X.tolist(), CLASSES), "expected data.x to be an array of rows, got list; np.asarray makes one"),
        (Batch(X, None), "expected data.y to be an array of rows, got NoneType"),
        (Batch(X, CLASSES, 1.0), "expected data.weights to be an array of rows, got a number"),
    ],
)
def test_what_is_pure_takes_arrays(name, data, message, untyped):
    state = fnnet.init_state(MODEL, OPTIMIZER, jax.random.key(0))
    with pytest.raises(TypeError, match=f"^{name}: {message}"):
        PURE[name](state, data)
    with pytest.raises(TypeError, match=f"^{name}: expected state to be a TrainState, got tuple"):
        PURE[name](state.params, Batch(X, CLASSES))


@pytest.mark.parametrize("epochs", [2.0, 0, -1, True, "2"])
def test_train_wants_a_number_of_epochs(epochs, untyped):
    state = fnnet.init_state(MODEL, OPTIMIZER, jax.random.key(0))
    with pytest.raises(ValueError, match="train: expected epochs to be an int of 1 or more"):
        fnnet.train(MODEL, OPTIMIZER, state, Batch(X, CLASSES), epochs=epochs, batch_size=8, shuffle=None)


def test_a_history_is_shown_in_a_line():
    _, history = fitted(Batch(X, CLASSES), epochs=3, validation=Batch(X, CLASSES))
    assert repr(history).startswith("History(3 epochs; the last: loss 0.")
    assert "%, validation loss 0." in repr(history)
    assert f", accuracy {100 * history.training.accuracy[-1]:.2f} %" in repr(history)
    assert len(repr(history)) < 120
    assert (
        repr(history._replace(training=jax.tree.map(lambda a: a[:0], history.training)))
        == "History(losses of shape (0,))"
    )
    shown = []
    jax.jit(lambda history: shown.append(repr(history)))(history)
    assert shown == ["History(losses of shape (3,))"]


def test_train_takes_a_batch_to_validate_on(untyped):
    state = fnnet.init_state(MODEL, OPTIMIZER, jax.random.key(0))
    settings = {"epochs": 1, "batch_size": 8, "shuffle": None}
    with pytest.raises(TypeError, match="train: expected validation to be a Batch, got float"):
        fnnet.train.__wrapped__(MODEL, OPTIMIZER, state, Batch(X, CLASSES), validation=0.1, **settings)


def test_a_number_of_epochs_may_be_numpys(untyped):
    assert len(fitted(Batch(X, CLASSES), epochs=np.int64(2))[1].training.loss) == 2


@pytest.mark.parametrize("rule", [fnnet.EarlyStopping(monitor="accuracy"), fnnet.ReduceOnPlateau(monitor="accuracy")])
def test_an_accuracy_that_is_not_measured_is_not_monitored(rule):
    name = "early_stopping" if isinstance(rule, fnnet.EarlyStopping) else "plateau"
    with pytest.raises(ValueError, match="has no accuracy"):
        fitted(Batch(X, BINARY), fnnet.SquaredError(), validation=0.2, **{name: rule})


def test_a_validation_loss_that_is_never_finite_is_an_error():
    bad = Batch(np.full_like(X, np.nan), CLASSES)
    with pytest.raises(fnnet.NonFiniteError, match="never a finite number in 2 epochs") as caught:
        fitted(Batch(X, CLASSES), epochs=5, validation=bad, early_stopping=fnnet.EarlyStopping(2))
    assert caught.value.state.step == 6


def test_class_weights_do_not_look_at_rows_that_do_not_count():
    weights = (np.arange(24) > 0).astype(np.float32)
    targets = np.where(weights == 0, -1, CLASSES).astype(np.int32)
    fitted(Batch(X, targets, weights), class_weights=np.ones(1 + CLASSES.max()))


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"measure_training": 5}, "data to measure"),
        ({"validation": Batch(X[:5], CLASSES[:5], np.zeros(5))}, "validation data"),
        ({"class_weights": np.zeros(1 + CLASSES.max())}, "data to train on"),
    ],
)
def test_every_part_needs_a_row_that_counts(settings, what):
    weights = (np.arange(24) >= 5).astype(np.float32)
    with pytest.raises(ValueError, match=f"expected a row of the {what} with a weight above 0"):
        fitted(Batch(X, CLASSES, weights), **settings)


def test_a_masked_row_is_not_blamed_for_the_row_that_stands_in_for_it():
    x, weights = X.copy(), (np.arange(24) > 0).astype(np.float32)
    x[1] = np.nan
    with pytest.raises(fnnet.NonFiniteError, match="from row 1 of the data"):
        fitted(Batch(x, CLASSES, weights), batch_size=1, shuffle=None)


class Polars:
    """A column with `to_numpy` and nothing of pandas."""

    def to_numpy(self):
        return X


def test_columns_of_other_libraries_are_read_by_to_numpy():
    fitted(Batch(Polars(), CLASSES))
