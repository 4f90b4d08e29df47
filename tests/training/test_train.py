"""Training: pure, compiled once, cut anywhere with the same bits, exact over every row."""

import re
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnnet
from fnnet import Batch
from fnnet._spec import Number, spec
from fnnet._xla.shuffling import shuffled
from fnnet.training import steps
from fnnet.training.epochs import plan, take
from tests.helpers.bits import bits
from tests.helpers.log_layer import Log

RNG = np.random.default_rng(0)
DATA = Batch(RNG.normal(size=(23, 3)).astype(np.float32), RNG.integers(0, 2, 23).astype(np.int32))
OTHER = Batch(RNG.normal(size=(11, 3)).astype(np.float32), RNG.integers(0, 2, 11).astype(np.int32))
MODEL = fnnet.mlp((3, 5, 2), dropout=0.2, penalty=fnnet.L2(1e-3))
ORDER = jax.random.key(9)
OPTIMIZERS = [
    fnnet.Sgd(0.1),
    fnnet.Sgd(0.1, 0.9),
    fnnet.Sgd(0.1, 0.9, nesterov=True),
    fnnet.Adam(fnnet.CosineDecay(0.01, 50)),
    fnnet.Chain((fnnet.Adam(0.01), fnnet.Sgd(-0.5))),
]


def fresh(model=MODEL, optimizer=OPTIMIZERS[3], seed=0):
    return fnnet.init_state(model, optimizer, jax.random.key(seed))


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
def test_a_step_is_pure(optimizer):
    state, batch = fresh(optimizer=optimizer), Batch(*map(jnp.asarray, DATA[:2]))
    before = bits((state, batch))
    assert not jax.make_jaxpr(fnnet.train_step)(MODEL, optimizer, state, batch).effects
    first = fnnet.train_step(MODEL, optimizer, state, batch)
    second = fnnet.train_step(MODEL, optimizer, state, batch)
    assert bits(first) == bits(second)
    assert bits((state, batch)) == before
    assert bits(first[0]) != bits(state)
    assert jax.tree.map(jnp.shape, first[0]) == jax.tree.map(jnp.shape, state)


def test_parameters_come_from_one_half_of_the_key_and_noise_from_the_other():
    params_key, noise_key = jax.random.split(jax.random.key(0))
    assert bits(fresh().params) == bits(fnnet.init(MODEL, params_key))
    assert bits(fresh().key) == bits(noise_key)
    assert fresh().key.dtype == noise_key.dtype
    assert fresh().step == 0


def test_a_step_of_plain_descent_takes_the_gradient_off_the_parameters():
    """Everything else here compares training with training."""
    model, optimizer = fnnet.mlp((3, 5, 2), penalty=fnnet.L2(1e-3)), fnnet.Sgd(0.1)
    state = fresh(model, optimizer)
    end, metrics = fnnet.train_step(model, optimizer, state, DATA)
    value, grads = fnnet.backward(model, state.params, *DATA[:2])
    for got, p, g in zip(*map(jax.tree.leaves, (end.params, state.params, grads)), strict=True):
        np.testing.assert_allclose(got, p - 0.1 * g, rtol=1e-5, atol=1e-7)
    right = np.asarray(fnnet.predict(model, state.params, DATA.x)).argmax(1) == DATA.y
    np.testing.assert_allclose(metrics, [value, right.mean(), 23], rtol=1e-5)
    assert end.step == 1


@pytest.mark.parametrize("platform", ["cpu", "cuda", "rocm", "tpu"])
def test_a_step_lowers_for_every_platform(platform):
    traced = fnnet.train_step.trace(MODEL, OPTIMIZERS[3], fresh(), DATA)
    assert "stablehlo" in traced.lower(lowering_platforms=(platform,)).as_text()


@spec
class Counted:
    """An identity that counts how often it is traced."""

    scale: Number = 1.0
    traces = []  # noqa: RUF012

    def init(self, key, in_shape):
        return (), in_shape

    def forward(self, params, x, *, key=None):
        self.traces.append(x)
        return x * self.scale, None

    def backward(self, params, residuals, dy):
        return (), dy * self.scale


SAME_SETTING = [0.1, np.float32(0.1), np.float64(0.1), jnp.float32(0.1), jnp.asarray(0.1)]


def counted_model(rate):
    network = fnnet.Serial((fnnet.Dense(4), Counted(), fnnet.Dropout(rate), fnnet.Dense(2)))
    return fnnet.Model(network, fnnet.SoftmaxCrossEntropy(), (3,))


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="reads the program of a CPU")
@pytest.mark.parametrize("optimizer", OPTIMIZERS[::3], ids=repr)
def test_weights_are_overwritten_without_a_copy(optimizer, monkeypatch):
    given = (fnnet.mlp((3, 37, 41, 2)), optimizer)

    def copies_in_the_loop():
        epoch = jax.jit(lambda state: fnnet.train_epoch.__wrapped__(*given, state, DATA, batch_size=4, shuffle=None)[0])
        text = epoch.lower(fresh(*given)).compile().as_text()
        return re.findall(r"f32\[37,41\]\S* copy\(%get-tuple-element", text)

    assert not copies_in_the_loop()
    monkeypatch.setattr(steps, "overwriting", lambda updates, grads: updates)
    assert copies_in_the_loop()


def test_a_network_without_parameters_goes_through_its_steps():
    model = fnnet.Model(fnnet.Serial((fnnet.Relu(),)), fnnet.SoftmaxCrossEntropy(), (3,))
    end, metrics = fnnet.train_step(model, OPTIMIZERS[0], fresh(model, OPTIMIZERS[0]), DATA)
    assert end.step == 1
    assert metrics.weight == 23


def test_one_trace_and_one_compilation_for_every_way_to_write_a_setting():
    Counted.traces.clear()
    before = fnnet.train_step._cache_size()
    state = fresh(counted_model(0.1), fnnet.Adam(0.1))
    for value in [*SAME_SETTING, 1, 0.7]:
        rate = value if value != 1 else 0.2
        state, _ = fnnet.train_step(counted_model(rate), fnnet.Adam(value), state, DATA)
        state = jax.tree.map(restored, state)
    assert len(Counted.traces) == 1
    assert fnnet.train_step._cache_size() == before + 1
    fnnet.train_step(counted_model(0.1), fnnet.Sgd(0.1), fresh(counted_model(0.1), fnnet.Sgd(0.1)), DATA)
    assert len(Counted.traces) == 2


def restored(a):
    """What a checkpoint gives back: the array by way of NumPy."""
    if jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
        return jax.random.wrap_key_data(jnp.asarray(np.asarray(jax.random.key_data(a))))
    return jnp.asarray(np.array(a))


@pytest.mark.parametrize("optimizer", OPTIMIZERS[2:4], ids=repr)
def test_epochs_can_be_cut_anywhere(optimizer):
    """One scan, two scans, a loop of steps, a run and `fit`: the same bits, dropout and a ragged batch included."""
    arguments = {"batch_size": 4, "shuffle": ORDER}
    whole, split, looped = (fresh(optimizer=optimizer) for _ in range(3))
    for _ in range(2):
        whole, _ = fnnet.train_epoch(MODEL, optimizer, whole, DATA, **arguments)
        split, _ = fnnet.train_epoch(MODEL, optimizer, split, DATA, **arguments, stop=2)
        split, _ = fnnet.train_epoch(MODEL, optimizer, split, DATA, **arguments, start=2)
        for planned in zip(*plan(ORDER, looped.step, 23, 4), strict=True):
            looped, _ = fnnet.train_step(MODEL, optimizer, looped, take(DATA, *planned))
    run, _ = fnnet.train(MODEL, optimizer, fresh(optimizer=optimizer), DATA, epochs=2, **arguments)
    fitted, _ = fnnet.fit(
        MODEL, optimizer, fresh(optimizer=optimizer), DATA, epochs=2, **arguments, validation=OTHER, progress=False
    )
    assert bits(whole) == bits(split) == bits(looped) == bits(run) == bits(fitted)
    assert whole.step == 12


def test_an_epoch_is_a_loop_of_steps_over_its_permutation():
    optimizer = OPTIMIZERS[3]
    state, expected = fresh(), fresh()
    for epoch in range(2):
        state, metrics = fnnet.train_epoch(MODEL, optimizer, state, DATA, batch_size=4, shuffle=ORDER)
        rows = np.asarray(shuffled(jax.random.fold_in(ORDER, epoch), 23))
        assert sorted(rows) == list(range(23))
        losses = []
        for batch in np.split(rows, range(4, 23, 4)):
            weights = np.zeros(4, np.float32)
            weights[: len(batch)] = 1
            full = np.resize(batch, 4)
            expected, m = fnnet.train_step(MODEL, optimizer, expected, Batch(DATA.x[full], DATA.y[full], weights))
            losses.append((m.loss, len(batch)))
    for a, b in zip(jax.tree.leaves(state.params), jax.tree.leaves(expected.params), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)
    values, sizes = map(np.array, zip(*losses, strict=True))
    np.testing.assert_allclose(metrics.loss, np.average(values, weights=sizes), rtol=1e-5)
    assert metrics.weight == 23


def test_without_shuffling_rows_keep_their_order():
    state, _ = fnnet.train_epoch(MODEL, OPTIMIZERS[0], fresh(optimizer=OPTIMIZERS[0]), DATA, batch_size=4, shuffle=None)
    expected = fresh(optimizer=OPTIMIZERS[0])
    for i in range(0, 23, 4):
        x, y = DATA.x[i : i + 4], DATA.y[i : i + 4]
        if len(x) == 4:
            expected, _ = fnnet.train_step(MODEL, OPTIMIZERS[0], expected, Batch(x, y))
    part, _ = fnnet.train_epoch(
        MODEL, OPTIMIZERS[0], fresh(optimizer=OPTIMIZERS[0]), DATA, batch_size=4, shuffle=None, stop=5
    )
    for a, b in zip(jax.tree.leaves(part.params), jax.tree.leaves(expected.params), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)
    assert state.step == 6


@pytest.mark.parametrize("batch_size", [1, 4, 1000])
@pytest.mark.parametrize("weighted", [False, True])
def test_evaluate_counts_every_row_once(batch_size, weighted):
    params = fresh().params
    w = np.r_[0, np.linspace(0.1, 2, 22)].astype(np.float32) if weighted else None
    metrics = fnnet.evaluate(MODEL, params, Batch(*DATA[:2], w), batch_size=batch_size)
    np.testing.assert_allclose(metrics.loss, fnnet.loss(MODEL, params, *DATA[:2], weights=w), rtol=1e-5)
    right = np.asarray(fnnet.predict(MODEL, params, DATA.x)).argmax(1) == DATA.y
    np.testing.assert_allclose(metrics.accuracy, np.average(right, weights=w), rtol=1e-5)
    np.testing.assert_allclose(metrics.weight, 23 if w is None else w.sum(), rtol=1e-6)


def test_a_mean_over_no_weight_at_all_is_not_a_number():
    metrics = fnnet.evaluate(MODEL, fresh().params, Batch(*DATA[:2], np.zeros(23, np.float32)))
    assert np.isnan([metrics.loss, metrics.accuracy]).all()
    assert metrics.weight == 0


def test_only_an_epoch_with_fillers_has_weights_for_them():
    rows, real = plan(None, jnp.int32(0), 6, 3)
    assert (rows.tolist(), real) == ([[0, 1, 2], [3, 4, 5]], None)
    rows, real = plan(None, jnp.int32(0), 5, 3)
    assert (rows.tolist(), real.tolist()) == ([[0, 1, 2], [3, 4, 0]], [[True] * 3, [True, True, False]])
    assert plan(ORDER, jnp.int32(0), 5, 8)[1] is None  # one batch of all rows, and full


def test_a_filled_batch_has_the_weights_of_its_rows_and_none_of_its_fillers():
    data = Batch(DATA.x, DATA.y, np.arange(23, dtype=np.float32))
    batch = take(data, jnp.asarray([5, 22, 0]), jnp.asarray([True, True, False]))
    np.testing.assert_array_equal(batch.weights, [5, 22, 0])
    np.testing.assert_array_equal(batch.y, DATA.y[[5, 22, 0]])
    weighted = Batch(jnp.asarray(DATA.x), jnp.asarray(DATA.y), 1 + jnp.arange(23.0))
    rows = jnp.array([2, 0, 5])
    np.testing.assert_array_equal(take(weighted, rows, jnp.array([True, True, False])).weights, [3, 1, 0])
    np.testing.assert_array_equal(take(weighted, rows, None).weights, [3, 1, 6])


def test_data_are_measured_in_the_dtype_of_the_parameters(float64):
    params = fnnet.init(MODEL, jax.random.key(0))
    assert fnnet.evaluate(MODEL, params, Batch(DATA.x.astype(np.float64), DATA.y)).loss.dtype == jnp.float32


def test_weights_of_rows_reach_training():
    """An epoch in which all but three rows weigh nothing is an epoch of gradient steps from those three."""
    model, optimizer = fnnet.mlp((3, 5, 2)), fnnet.Sgd(0.1)
    w = np.zeros(23, np.float32)
    w[[2, 7, 20]] = [1, 2, 3]
    x = DATA.x.copy()
    x[0] = np.nan
    state = fresh(model, optimizer)
    end, metrics = fnnet.train_epoch(model, optimizer, state, Batch(x, DATA.y, w), batch_size=23, shuffle=ORDER)
    picked = Batch(DATA.x[[2, 7, 20]], DATA.y[[2, 7, 20]], w[[2, 7, 20]])
    expected, expected_metrics = fnnet.train_step(model, optimizer, state, picked)
    np.testing.assert_allclose(metrics.loss, expected_metrics.loss, rtol=1e-5)
    for a, b in zip(jax.tree.leaves(end.params), jax.tree.leaves(expected.params), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


def test_history_has_an_entry_an_epoch():
    state = fresh()
    end, history = fnnet.train(
        MODEL, OPTIMIZERS[3], state, DATA, epochs=3, batch_size=5, shuffle=ORDER, validation=OTHER
    )
    assert history.training.loss.shape == history.validation.accuracy.shape == (3,)
    last = fnnet.evaluate(MODEL, end.params, OTHER)
    np.testing.assert_allclose(history.validation.loss[-1], last.loss, rtol=1e-6)
    assert history.validation.accuracy[-1] == last.accuracy


def test_losses_without_classes_have_no_accuracy():
    model = fnnet.mlp((3, 4, 1), loss=fnnet.SquaredError())
    data = Batch(DATA.x, DATA.x[:, :1])
    _, history = fnnet.train(
        model, OPTIMIZERS[0], fresh(model, OPTIMIZERS[0]), data, epochs=2, batch_size=8, shuffle=ORDER, validation=data
    )
    assert history.training.accuracy is None
    assert history.validation.accuracy is None


def test_a_whole_run_maps_over_seeds_and_settings():
    def run(seed, learning_rate):
        optimizer = fnnet.Adam(learning_rate)
        state = fnnet.init_state(MODEL, optimizer, jax.random.key(seed))
        return fnnet.train(MODEL, optimizer, state, DATA, epochs=2, batch_size=8, shuffle=ORDER)[1].training.loss

    seeds, rates = jnp.arange(3), jnp.array([0.1, 0.01, 0.001])
    losses = jax.vmap(run)(seeds, rates)
    singles = jnp.stack([run(int(s), float(r)) for s, r in zip(seeds, rates, strict=True)])
    np.testing.assert_allclose(losses, singles, rtol=1e-4)


def test_schedules_follow_the_step():
    """Label smoothing, dropout and learning rate all change while training; the rate of a decayed step shrinks."""
    model = fnnet.Model(
        fnnet.Serial((fnnet.Dense(4), fnnet.Dropout(fnnet.LinearSchedule(0.5, 0, 10)), fnnet.Dense(2))),
        fnnet.SoftmaxCrossEntropy(fnnet.LinearSchedule(0.2, 0, 10)),
        (3,),
    )
    optimizer = fnnet.Sgd(fnnet.ExponentialDecay(0.1, 0.0))
    state = fresh(model, optimizer)
    one, _ = fnnet.train_step(model, optimizer, state, DATA)
    two, _ = fnnet.train_step(model, optimizer, one, DATA)
    assert bits(one.params) != bits(state.params)
    assert bits(two.params) == bits(one.params)
    start = fnnet.evaluate(model, one.params, DATA, step=0).loss
    assert start != fnnet.evaluate(model, one.params, DATA, step=10).loss
    with pytest.raises(ValueError, match=r"pass step=state\.step"):
        fnnet.evaluate(model, one.params, DATA)


@spec
class RunningMean:
    """A layer with state that no gradient moves: it remembers the mean of what went through."""

    def init(self, key, in_shape):
        return jnp.zeros(in_shape), in_shape

    def forward(self, params, x, *, key=None):
        return x, x.mean(0)

    def backward(self, params, residuals, dy):
        return jnp.zeros_like(params), dy

    def absorb(self, params, mean):
        return 0.5 * params + 0.5 * mean


def test_state_that_no_gradient_moves_is_absorbed_after_the_update():
    network = fnnet.Serial((RunningMean(), fnnet.Residual(RunningMean()), fnnet.Dense(2)))
    model, optimizer = fnnet.Model(network, fnnet.SoftmaxCrossEntropy(), (3,)), fnnet.Sgd(0.1)
    state, _ = fnnet.train_step(model, optimizer, fresh(model, optimizer), DATA)
    np.testing.assert_allclose(state.params[0], 0.5 * DATA.x.mean(0), rtol=1e-5)
    np.testing.assert_allclose(state.params[1], 0.5 * DATA.x.mean(0), rtol=1e-5)


def test_a_layer_that_absorbs_may_be_inside_of_serials():
    network = fnnet.Serial((fnnet.Serial((fnnet.Serial((RunningMean(),)), fnnet.Relu())), fnnet.Dense(2)))
    model, optimizer = fnnet.Model(network, fnnet.SoftmaxCrossEntropy(), (3,)), fnnet.Sgd(0.1)
    state, _ = fnnet.train_step(model, optimizer, fresh(model, optimizer), DATA)
    np.testing.assert_allclose(state.params[0][0][0], 0.5 * DATA.x.mean(0), rtol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64"])
def test_every_dtype_stays_itself(dtype):
    with jax.enable_x64(dtype == "float64"):
        model = fnnet.mlp((3, 4, 2), penalty=fnnet.L1(1e-3), scale=fnnet.LinearSchedule(1, 2, 10), dropout=0.1)
        optimizer = fnnet.Adam(fnnet.CosineDecay(0.1, 10))
        state = fnnet.init_state(model, optimizer, jax.random.key(0), dtype)
        kinds = jax.tree.map(lambda a: (a.shape, a.dtype, getattr(a, "weak_type", False)), state)
        end, history = fnnet.train(
            model, optimizer, state, DATA, epochs=2, batch_size=5, shuffle=ORDER, validation=DATA
        )
        assert jax.tree.map(lambda a: (a.shape, a.dtype, getattr(a, "weak_type", False)), end) == kinds
        assert history.training.loss.dtype == ("float64" if dtype == "float64" else "float32")
        assert np.isfinite(np.asarray(history.training.loss)).all()


@pytest.mark.parametrize("data", [Batch(DATA.x, DATA.y[:-1]), Batch(*DATA[:2], np.ones(5))], ids=["y", "weights"])
def test_rows_and_targets_are_as_many(data):
    state = fresh()
    with pytest.raises(ValueError, match="as many targets"):
        fnnet.train_epoch(MODEL, OPTIMIZERS[3], state, data, batch_size=4, shuffle=ORDER)
    with pytest.raises(ValueError, match="as many targets"):
        fnnet.evaluate(MODEL, state.params, data)


@pytest.mark.parametrize("batch_size", [0, -1])
def test_a_batch_has_rows(batch_size):
    with pytest.raises(ValueError, match="batch_size"):
        fnnet.train_epoch(
            MODEL, OPTIMIZERS[0], fresh(optimizer=OPTIMIZERS[0]), DATA, batch_size=batch_size, shuffle=ORDER
        )


def test_fillers_of_a_ragged_batch_are_rows_that_any_layer_can_digest():
    network = fnnet.Serial((fnnet.Dense(3, fnnet.Uniform(0.1, 1)), Log(), fnnet.Dense(2)))
    model, optimizer = fnnet.Model(network, fnnet.SoftmaxCrossEntropy(), (3,)), fnnet.Sgd(0.01)
    data = Batch(np.abs(DATA.x) + 1, DATA.y, np.r_[0.0, np.ones(22)].astype(np.float32))
    state, _ = fnnet.train_epoch(model, optimizer, fresh(model, optimizer), data, batch_size=6, shuffle=ORDER)
    assert all(np.isfinite(np.asarray(p)).all() for p in jax.tree.leaves(state.params))


class Counting(NamedTuple):
    """A parameter and a count of batches, which is an integer."""

    scale: Any
    count: Any


@spec
class Counter:
    """x times a scale; counts the batches it has seen."""

    def init(self, key, in_shape):
        return Counting(jnp.ones(in_shape), jnp.zeros((), jnp.int32)), in_shape

    def forward(self, params, x, *, key=None):
        return x * params.scale[None], x

    def backward(self, params, x, dy):
        return Counting((x * dy).sum(0), jnp.zeros_like(params.count)), dy * params.scale[None]

    def absorb(self, params, residuals):
        return params._replace(count=params.count + 1)


@pytest.mark.parametrize("optimizer", OPTIMIZERS[2:4], ids=repr)
def test_integer_parameters_are_no_business_of_the_optimizer(optimizer):
    model = fnnet.Model(fnnet.Serial((Counter(), fnnet.Dense(2))), fnnet.SoftmaxCrossEntropy(), (3,))
    state, _ = fnnet.train_epoch(model, optimizer, fresh(model, optimizer), DATA, batch_size=4, shuffle=ORDER)
    assert (state.params[0].count, state.params[0].count.dtype) == (6, jnp.int32)
    assert (state.params[0].scale != 1).all()
    averages = state.opt_state.m if isinstance(optimizer, fnnet.Adam) else state.opt_state
    assert averages[0].count is None


def test_parts_are_the_whole_wherever_the_count_of_steps_stands():
    optimizer, arguments = OPTIMIZERS[0], {"batch_size": 8, "shuffle": ORDER}
    state, _ = fnnet.train_step(MODEL, optimizer, fresh(optimizer=optimizer), DATA)
    whole, _ = fnnet.train_epoch(MODEL, optimizer, state, DATA, **arguments)
    part, _ = fnnet.train_epoch(MODEL, optimizer, state, DATA, **arguments, stop=2)
    part, _ = fnnet.train_epoch(MODEL, optimizer, part, DATA, **arguments, start=2)
    assert bits(part) == bits(whole)


@pytest.mark.parametrize(
    "part", [{"stop": 0}, {"start": 3}, {"start": -1}, {"stop": 4}, {"start": 2, "stop": 1}], ids=str
)
def test_parts_lie_within_the_epoch(part):
    with pytest.raises(ValueError, match="start < stop <= 3"):
        fnnet.train_epoch(
            MODEL, OPTIMIZERS[0], fresh(optimizer=OPTIMIZERS[0]), DATA, batch_size=8, shuffle=ORDER, **part
        )


@pytest.mark.parametrize("rate", [0.01, 0.3])
def test_dropout_in_bfloat16_drops_its_rate(rate):
    y, _ = fnnet.Dropout(rate).forward((), jnp.ones((500, 500), jnp.bfloat16), key=jax.random.key(0))
    assert y.dtype == jnp.bfloat16
    np.testing.assert_allclose((y == 0).mean(dtype=jnp.float32), rate, atol=0.003)
