"""One training by many ways: in memory, from a file, on a mesh, as a sweep of one run, and by hand, for every option.

By hand means: a loop over `train_step`, each batch without its padding rows, and measurements in NumPy.
"""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnnet
from fnnet import Batch, EarlyStopping, ReduceOnPlateau
from fnnet.datasets._split import split_rows
from fnnet.sweeps import Configuration, Point, sweep
from fnnet.training import sources
from fnnet.training.epochs import plan
from fnnet.training.rows import Rows
from fnnet.training.sources import OnMesh, source_of
from fnnet.training.stopping import scaled
from tests.helpers.bits import bits

RNG = np.random.default_rng(0)
N, SIZE, EPOCHS = 23, 8, 6
X, Y = RNG.normal(size=(N, 3)).astype(np.float32), RNG.integers(0, 2, N).astype(np.int32)
WEIGHTS = np.where(np.arange(N) % 5 == 0, 0, 1 + np.arange(N) % 3).astype(np.float32)
BAD = np.where(WEIGHTS[:, None] == 0, np.nan, X).astype(np.float32)
OTHER = Batch(
    RNG.normal(size=(11, 3)).astype(np.float32),
    RNG.integers(0, 2, 11).astype(np.int32),
    (1 + np.arange(11) % 2).astype(np.float32),
)
ORDER = jax.random.key(9)
MODEL = fnnet.mlp((3, 5, 2), penalty=fnnet.L2(fnnet.LinearSchedule(0.1, 0.5, 12)))
NOISY = fnnet.mlp((3, 5, 2), penalty=fnnet.L2(fnnet.LinearSchedule(0.1, 0.5, 12)), dropout=0.2)
OPTIMIZER = fnnet.Sgd(fnnet.CosineDecay(0.9, 60), 0.5)
OPTIONS = {
    "plain": {},
    "in order, one batch": {"shuffle": None, "batch_size": 100},
    "weights": {"data": Batch(BAD, Y, WEIGHTS), "measure_training": 7},
    "held out": {"data": Batch(X, Y, WEIGHTS), "validation": 0.3, "measure_training": 9, "class_weights": (1, 5)},
    "stopping": {"early_stopping": EarlyStopping(2, 0.3)},
    "plateau": {"plateau": ReduceOnPlateau(0.3, 1), "early_stopping": EarlyStopping(3, monitor="accuracy")},
}


def quick(table, *names):
    """The table's entries as parameters, all but these marked slow."""
    return [pytest.param(v, id=k, marks=[] if k in names else pytest.mark.slow) for k, v in table.items()]


def fresh(model=MODEL, optimizer=OPTIMIZER):
    return fnnet.init_state(model, optimizer, jax.random.key(0))


def fitted(*, model=MODEL, data=Batch(X, Y), validation=OTHER, **settings):  # noqa: B008
    return fnnet.fit(
        model,
        OPTIMIZER,
        fresh(model),
        data,
        validation=validation,
        **{"epochs": EPOCHS, "batch_size": SIZE, "shuffle": ORDER, "progress": False} | settings,
    )


def measured_by_hand(state, rows):
    """(loss, accuracy, weight) in NumPy, penalty at the state's step included."""
    x, y, w = rows
    w = np.ones(len(y)) if w is None else w
    model = fnnet.at_step(MODEL, state.step, jnp.float32)
    p = np.asarray(fnnet.predict(model, state.params, np.nan_to_num(x)), np.float64)
    loss = (w * -np.log(p[np.arange(len(y)), y])).sum() / w.sum() + float(model.penalty.value(state.params))
    return loss, (w * (p.argmax(1) == y)).sum() / w.sum(), w.sum()


def by_hand(
    *,
    data=Batch(X, Y),  # noqa: B008
    validation=OTHER,
    measure_training=None,
    class_weights=None,
    early_stopping=None,
    plateau=None,
    shuffle=ORDER,
    batch_size=SIZE,
):
    """(state that counts, last state, curves) of a loop."""
    numbers, part = np.arange(N), lambda rows: Batch(*(None if a is None else a[rows] for a in data))
    if isinstance(validation, float):
        numbers, out = split_rows(Y, validation, int(jax.random.bits(jax.random.fold_in(ORDER, 2**32 - 1))))
        validation = part(out)
    chosen = part(numbers)
    watched = {
        "validation": validation,
        "measured": None if measure_training is None else part(numbers[:measure_training]),
    }
    w = np.ones(len(numbers)) if chosen.weights is None else chosen.weights
    w = (w if class_weights is None else w * np.array(class_weights)[chosen.y]).astype(np.float32)
    state, scale, best, score, waited, low, steady = fresh(), 1.0, None, np.inf, 0, np.inf, 0
    curves = {"training": [], "validation": [], "measured": []}
    for _ in range(EPOCHS):
        places, real = plan(shuffle, state.step, len(numbers), batch_size)
        real, parts = np.ones(places.shape, bool) if real is None else np.asarray(real), []
        for batch, counts in zip(np.asarray(places), real, strict=True):
            rows = batch[counts & (w[batch] > 0)]
            state, metrics = fnnet.train_step(
                MODEL, scaled(OPTIMIZER, scale), state, Batch(chosen.x[rows], chosen.y[rows], w[rows])
            )
            parts.append([float(m) for m in metrics])
        loss, accuracy, weight = np.array(parts).T
        curves["training"].append(
            ((loss * weight).sum() / weight.sum(), (accuracy * weight).sum() / weight.sum(), weight.sum())
        )
        for name, rows in watched.items():
            if rows is not None:
                curves[name].append(measured_by_hand(state, rows))
        loss, accuracy, _ = curves["validation"][-1]
        if plateau is not None:
            low, steady = (loss, 0) if loss < low else (low, steady + 1)
            scale, steady = (scale * plateau.factor, 0) if steady == plateau.patience else (scale, steady)
        if early_stopping is not None:
            now = loss if early_stopping.monitor == "loss" else -accuracy
            better = now < score - early_stopping.min_delta
            best, score, waited = (state, now, 0) if better else (best, score, waited + 1)
            if waited == early_stopping.patience:
                break
    return state if best is None else best, curves


def in_file(options, tmp_path):
    """The options with the rows in files, those to validate on included."""

    def mapped(rows, name):
        np.save(tmp_path / name, rows.x)
        return rows._replace(x=np.load(tmp_path / name, mmap_mode="r"))

    data, validation = options.get("data", Batch(X, Y)), options.get("validation", OTHER)
    validation = mapped(validation, "other.npy") if isinstance(validation, Batch) else validation
    return {**options, "data": mapped(data, "x.npy"), "validation": validation}


def assert_near(a, b, rtol=2e-5):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(x, y, rtol=rtol, atol=1e-6)


def no_key(state):
    return state._replace(key=None)


@pytest.mark.parametrize("options", quick(OPTIONS, "weights", "held out"))
def test_fit_is_the_loop_by_hand(options):
    state, history = fitted(**options)
    expected, curves = by_hand(**options)
    assert_near(no_key(state), no_key(expected), 1e-4)
    for name, parts in curves.items():
        metrics = getattr(history, name)
        assert (metrics is None) == (not parts)
        if parts:
            np.testing.assert_allclose(np.stack(metrics, 1), parts, rtol=1e-4)
    if "early_stopping" in options:
        assert len(curves["training"]) < EPOCHS or "plateau" in options, "a rule that never acts"


@pytest.mark.parametrize("options", quick(OPTIONS, "held out"))
def test_a_file_and_a_mesh_train_as_memory_does(options, tmp_path):
    expected = fitted(model=NOISY, **options)
    assert bits(fitted(model=NOISY, **in_file(options, tmp_path))) == bits(expected)
    on_mesh = fitted(model=NOISY, **options, mesh=fnnet.data_mesh())
    assert_near([no_key(on_mesh[0]), on_mesh[1][:3]], [no_key(expected[0]), expected[1][:3]])


SWEPT = {
    "plain": OPTIONS["plain"],
    "in order, one batch": OPTIONS["in order, one batch"],
    "weights": {"data": OPTIONS["weights"]["data"]},
    "stopping": OPTIONS["stopping"],
}


@pytest.mark.parametrize("options", quick(SWEPT, "plain"))
def test_a_sweep_of_one_trains_as_fit_does(options):
    options = {**options}
    state, history = fitted(model=NOISY, **options)
    size = options.pop("batch_size", SIZE)
    results = sweep(
        [Point({}, Configuration(NOISY, OPTIMIZER, size))],
        options.pop("data", Batch(X, Y)),
        **{"shuffle": ORDER} | options,
        epochs=EPOCHS,
        seeds=(0,),
        validation=OTHER,
        keep_params=True,
        progress=False,
    )
    trained = len(history.training.loss)
    assert results.trained.tolist() == [trained]
    assert_near(results.params[0], state.params, 1e-4)
    for curve, metrics in (
        ("loss", history.training.loss),
        ("accuracy", history.training.accuracy),
        ("validation_loss", history.validation.loss),
        ("validation_accuracy", history.validation.accuracy),
    ):
        np.testing.assert_allclose(results.curves[curve][0, :trained], metrics, rtol=1e-4)


@pytest.mark.parametrize("weights", [pytest.param(None, marks=pytest.mark.slow), WEIGHTS], ids=["rows", "weighted"])
@pytest.mark.parametrize("rows", [N, 5, 16])
@pytest.mark.usefixtures("untyped")
def test_rows_that_fill_up_a_mesh_of_four_count_nothing(rows, weights, monkeypatch):
    """The plan of a mesh of four devices, in the memory of one; `test_mesh.py` has true devices."""
    monkeypatch.setattr(sources, "_own_columns", lambda mesh, shape: np.arange(shape[1]))
    monkeypatch.setattr(sources, "_split", lambda a, mesh, size: jnp.asarray(a).reshape(len(a), size, *a.shape[2:]))
    monkeypatch.setattr(OnMesh, "_program", lambda self, model: sources.train_batches)
    data = Batch(X[:rows], Y[:rows], None if weights is None else weights[:rows])
    on_four = OnMesh(Rows(data), mesh=SimpleNamespace(size=4))
    for size in (6, 8):
        assert all(batch.x.shape[1] % 4 == 0 for batch in on_four.batches(fresh(), size, ORDER))
        expected = fnnet.train_epoch(MODEL, OPTIMIZER, fresh(), data, batch_size=size, shuffle=ORDER)
        found = on_four.epoch(MODEL, OPTIMIZER, fresh(), size, ORDER)
        assert_near([no_key(found[0]), found[1]], [no_key(expected[0]), expected[1]])


def test_a_mesh_that_is_asked_for_is_used():
    assert isinstance(source_of(Rows(Batch(X, Y)), fnnet.data_mesh()), OnMesh)


def test_a_plateau_watches_the_validation_data():
    """Whose targets are the opposite, so that its loss rises while that of training falls."""
    rule, right = ReduceOnPlateau(0.5, 1), X[:, 0] > 0
    data, opposite = (Batch(X, y.astype(np.int32)) for y in (right, ~right))
    _, history = fitted(model=fnnet.mlp((3, 5, 2)), data=data, validation=opposite, plateau=rule, epochs=3)

    def scale(losses):
        memory = rule.start()
        for loss in losses:
            memory = rule.after(memory, fnnet.Metrics(loss, None, None))
        return memory.scale

    assert history.plateau.scale == scale(history.validation.loss) != scale(history.training.loss)


def test_train_is_fit():
    """Its validation, too, at the step that the epoch ended with."""
    state, history = fitted()
    expected, whole = fnnet.train(
        MODEL, OPTIMIZER, fresh(), Batch(X, Y), epochs=EPOCHS, batch_size=SIZE, shuffle=ORDER, validation=OTHER
    )
    assert_near([no_key(state), history[:2]], [no_key(expected), whole[:2]])


def test_every_step_draws_its_own_noise():
    """Dropout from one half of fold_in(key, step), the optimizer from the other; the key itself stays."""
    optimizer = fnnet.Chain((fnnet.GradientNoise(0.1), fnnet.Sgd(0.5)))
    model, state = fnnet.mlp((3, 5, 2), dropout=0.5), fresh(fnnet.mlp((3, 5, 2), dropout=0.5), optimizer)
    for step in range(2):
        pass_key, update_key = jax.random.split(jax.random.fold_in(state.key, step))
        grads = fnnet.backprop(model, state.params, Batch(X, Y), key=pass_key).grads
        updates, _ = optimizer.update(grads, state.opt_state, state.params, key=update_key)
        after, _ = fnnet.train_step(model, optimizer, state, Batch(X, Y))
        assert_near(after.params, jax.tree.map(jnp.add, state.params, updates))
        assert bits(after.key) == bits(state.key)
        state = after


# ------------------------------------------------------------------------------------ going on

RULES = {
    "both rules": {"early_stopping": EarlyStopping(3), "plateau": ReduceOnPlateau(0.3, 1, 1)},
    "held out": {"validation": 0.3, "measure_training": 4, "early_stopping": EarlyStopping(2, monitor="accuracy")},
}


@pytest.mark.parametrize("rules", quick(RULES, "both rules"))
def test_a_run_cut_after_any_epoch_is_the_run(rules):
    """Also after the epoch in which it stopped: then nothing is left to do."""
    seen = []
    whole = fitted(model=NOISY, **rules, on_epoch=lambda *now: seen.append(now))
    done = len(whole[1].training.loss)
    assert len(seen) == done
    for epoch, (state, history) in enumerate(seen, 1):
        again = fnnet.fit(
            NOISY, OPTIMIZER, state, Batch(X, Y), history=history, epochs=max(1, EPOCHS - epoch),
            **{"validation": OTHER, "batch_size": SIZE, "shuffle": ORDER, "progress": False} | rules,
        )  # fmt: skip
        if epoch < EPOCHS:
            assert bits(again) == bits(whole)


def test_a_run_that_has_stopped_stays_where_it_is():
    rules = {"early_stopping": EarlyStopping(1, 10.0)}
    state, history = fitted(**rules)
    assert len(history.training.loss) == 2
    again = fnnet.fit(
        MODEL, OPTIMIZER, state, Batch(X, Y), history=history, epochs=3, batch_size=SIZE, shuffle=ORDER,
        validation=OTHER, progress=False, **rules,
    )  # fmt: skip
    assert bits(again) == bits((state, history))


def test_early_stopping_that_is_added_later_counts_the_historys_epochs():
    first, history = fitted(epochs=2)
    settings = {"epochs": 2, "batch_size": SIZE, "shuffle": ORDER, "validation": OTHER, "progress": False}
    _, whole = fnnet.fit(
        MODEL, OPTIMIZER, first, Batch(X, Y), history=history, early_stopping=EarlyStopping(5), **settings
    )  # fmt: skip
    losses = whole.validation.loss[2:]
    assert whole.stopping.epoch == 3 + int(np.argmin(losses))


def test_a_history_goes_with_its_state_to_the_last_bit():
    state, history = fitted(early_stopping=EarlyStopping(5))
    near = history.last._replace(params=jax.tree.map(lambda p: p * (1 + 1e-6), history.last.params))
    for wrong in (near, state._replace(params=near.params)):
        with pytest.raises(ValueError, match="expected the state that this history came with"):
            fnnet.fit(
                MODEL, OPTIMIZER, wrong, Batch(X, Y), history=history, early_stopping=EarlyStopping(5), epochs=1,
                batch_size=SIZE, shuffle=ORDER, validation=OTHER, progress=False,
            )  # fmt: skip


def test_ctrl_c_gives_what_fit_would_have_returned():
    def interrupted(state, history):
        if len(history.training.loss) == 4:
            raise KeyboardInterrupt

    rule = {"early_stopping": EarlyStopping(3, 10.0)}  # only the first epoch is better than none
    with pytest.raises(fnnet.Interrupted) as caught:
        fitted(**rule, on_epoch=interrupted)
    assert bits(caught.value.state) == bits(fitted(epochs=1)[0])
    assert caught.value.history.last.step == 12


# ------------------------------------------------------------------------------------ schedules and weights

LINE = fnnet.LinearSchedule(0.1, 0.7, 6)
SCHEDULED = {
    "dropout": lambda v: fnnet.Model(
        fnnet.Serial((fnnet.Dense(4), fnnet.Dropout(v), fnnet.Dense(2))), fnnet.SoftmaxCrossEntropy(), (3,)
    ),
    "penalty": lambda v: fnnet.mlp((3, 4, 2), penalty=fnnet.L2(v)),
    "label smoothing": lambda v: fnnet.mlp((3, 4, 2), loss=fnnet.SoftmaxCrossEntropy(v)),
    "slope": lambda v: fnnet.mlp((3, 4, 2), activation=fnnet.LeakyRelu(v)),
}


@pytest.mark.parametrize("build", quick(SCHEDULED, "dropout", "penalty"))
def test_a_schedule_in_a_model_is_its_value_at_the_step(build):
    """In a step, a measurement, a landscape and the statistics of layers, at step 3."""
    at_3 = float(LINE.value_at(jnp.float32(3)))
    line, number = build(LINE), build(at_3)
    optimizer = fnnet.Sgd(0.5)
    start = fresh(number, optimizer)._replace(step=jnp.int32(3))
    other = {2, 4}
    batch = Batch(X, Y)

    def everything(model):
        step = fnnet.train_step(model, optimizer, start, batch)
        direction = fnnet.random_direction(start.params, jax.random.key(1))
        return [
            no_key(step[0]), step[1],
            fnnet.evaluate(model, start.params, batch, step=3),
            fnnet.landscape(model, start.params, batch, (direction,), points=3, step=3).loss,
            fnnet.layer_statistics(model, optimizer, start, batch, key=jax.random.key(2)),
        ]  # fmt: skip

    expected = everything(number)
    assert_near(everything(line), expected, 1e-5)
    for step in other:  # and it is another one elsewhere
        elsewhere = fnnet.train_step(build(float(LINE.value_at(jnp.float32(step)))), optimizer, start, batch)
        assert bits(no_key(elsewhere[0])) != bits(expected[0])


def test_a_schedule_in_an_optimizer_is_its_value_at_the_step():
    start = fresh()._replace(step=jnp.int32(3))
    rate = float(OPTIMIZER.learning_rate.value_at(jnp.float32(3)))
    steps = [fnnet.train_step(MODEL, o, start, Batch(X, Y))[0] for o in (OPTIMIZER, fnnet.Sgd(rate, 0.5))]
    assert_near(no_key(steps[0]), no_key(steps[1]), 1e-6)
    stats = [fnnet.layer_statistics(MODEL, o, start, Batch(X, Y)) for o in (OPTIMIZER, fnnet.Sgd(rate, 0.5))]
    assert_near(*stats, 1e-5)


WHOLE = WEIGHTS.astype(int)
TIMES = Batch(np.repeat(X, WHOLE, 0), np.repeat(Y, WHOLE))
PLAIN = fnnet.mlp((3, 5, 2), penalty=fnnet.L2(0.1))
OVER_ROWS = {
    "evaluate": lambda s, d: fnnet.evaluate(PLAIN, s.params, d, batch_size=7),
    "loss": lambda s, d: fnnet.loss(PLAIN, s.params, d.x, d.y, weights=d.weights),
    "backward": lambda s, d: fnnet.backward(PLAIN, s.params, d.x, d.y, weights=d.weights),
    "a step": lambda s, d: [
        no_key(a) if hasattr(a, "key") else a for a in fnnet.train_step(PLAIN, fnnet.Sgd(0.5), s, d)
    ],
    "an epoch": lambda s, d: fnnet.train_epoch(PLAIN, fnnet.Sgd(0.5), s, d, batch_size=1000, shuffle=None)[1],
    "trace": lambda s, d: fnnet.trace(PLAIN, s.params, d.x, d.y, weights=d.weights).result.grads,
    "landscape": lambda s, d: (
        fnnet.landscape(PLAIN, s.params, d, (fnnet.random_direction(s.params, jax.random.key(1)),), points=3).loss
    ),
    "streamed": lambda s, d: sources.Streamed(Rows(d)).measure(PLAIN, s, 7),
}


@pytest.mark.parametrize("measure", OVER_ROWS.values(), ids=OVER_ROWS)
def test_a_weight_is_a_number_of_equal_rows(measure):
    state = fresh(PLAIN, fnnet.Sgd(0.5))
    weighted = Batch(BAD, Y, WEIGHTS)
    assert_near(measure(state, weighted), measure(state, TIMES), 1e-5)
