"""fit: the same bits as train, cut anywhere; stops, slows down, streams, and names what is not finite."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnnet
from fnnet import Batch
from fnnet.training import sources
from fnnet.training.epochs import plan
from fnnet.training.rows import Rows
from fnnet.training.sources import InMemory, Streamed
from fnnet.training.state import Metrics
from fnnet.training.stopping import EarlyStopping, ReduceOnPlateau, Scaled, scaled
from tests.helpers.bits import bits

RNG = np.random.default_rng(0)
DATA = Batch(RNG.normal(size=(23, 3)).astype(np.float32), RNG.integers(0, 2, 23).astype(np.int32))
OTHER = Batch(RNG.normal(size=(11, 3)).astype(np.float32), RNG.integers(0, 2, 11).astype(np.int32))
WEIGHTED = DATA._replace(weights=np.where(np.arange(23) % 5 == 0, 0, 1 + np.arange(23) % 3).astype(np.float32))
MODEL = fnnet.mlp((3, 5, 2), dropout=0.2)
ADAM = fnnet.Adam(fnnet.CosineDecay(0.3, 50))
ORDER = jax.random.key(9)
START = fnnet.init_state(MODEL, ADAM, jax.random.key(0))


def run(*, state=START, model=MODEL, optimizer=ADAM, data=DATA, epochs=3, validation=OTHER, **settings):
    return fnnet.fit(
        model, optimizer, state, data, epochs=epochs, validation=validation,
        **{"batch_size": 8, "shuffle": ORDER, "progress": False} | settings,
    )  # fmt: skip


def mapped(data, tmp_path):
    """The same rows, in a file."""
    np.save(tmp_path / "x.npy", data.x)
    return data._replace(x=np.load(tmp_path / "x.npy", mmap_mode="r"))


def state_of(epoch):
    return fnnet.TrainState((), (), epoch, None)


def metrics(loss, accuracy=0.5):
    return Metrics(np.float32(loss), np.float32(accuracy), np.float32(1))


def test_a_fit_is_the_training_that_train_does():
    state, history = run()
    expected, measured = fnnet.train(
        MODEL, ADAM, START, DATA, epochs=3, batch_size=8, shuffle=ORDER, validation=OTHER
    )  # fmt: skip
    assert bits((state, history.training)) == bits((expected, measured.training))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), history.validation, measured.validation)
    assert all(isinstance(a, np.ndarray) for a in jax.tree.leaves(history))


def test_fit_reports_every_epoch(capsys):
    seen = []
    _, history = fnnet.fit(
        MODEL, ADAM, START, DATA, epochs=3, batch_size=8, shuffle=ORDER, validation=OTHER,
        on_epoch=lambda state, epoch: seen.append((int(state.step), float(epoch.training.loss[-1]))),
    )  # fmt: skip
    assert [step for step, _ in seen] == [3, 6, 9]
    np.testing.assert_array_equal([loss for _, loss in seen], history.training.loss)
    assert isinstance(history.validation.accuracy, np.ndarray)
    text = capsys.readouterr().err
    assert "validation accuracy" in text
    assert "3/3" in text


@pytest.mark.parametrize(
    "how", [{}, {"validation": 0.2}, {"mesh": fnnet.data_mesh()}, {"measure_training": 2}], ids=str
)
@pytest.mark.parametrize("name", ["x", "y", "weights"])
def test_fit_refuses_columns_of_other_lengths(how, name, tmp_path):
    data = WEIGHTED._replace(**{name: getattr(WEIGHTED, name)[:-1]})
    for part in (data, mapped(data, tmp_path)):
        with pytest.raises(ValueError, match="as many targets"):
            run(data=part, **{"validation": None} | how)
    with pytest.raises(ValueError, match="as many targets"):
        run(validation=data)


def test_fit_says_what_it_wants_in_place_of_parameters_and_of_a_pair(untyped):
    with pytest.raises(TypeError, match=r"a TrainState, got tuple; start with fnnet.init_state"):
        run(state=START.params)
    with pytest.raises(TypeError, match=r"a Batch, got tuple; write fnnet.Batch\(x, y\)"):
        run(data=(DATA.x, DATA.y))


def test_what_is_written_to_the_callers_array_does_not_change_the_training():
    room = np.zeros(DATA.x.nbytes + 64, np.uint8)
    start = -room.ctypes.data % 64  # where a CPU would use it as it lies
    x = room[start : start + DATA.x.nbytes].view(np.float32).reshape(DATA.x.shape)
    x[:] = DATA.x
    _, expected = run()
    _, history = run(data=DATA._replace(x=x), on_epoch=lambda state, history: x.fill(0))
    assert bits(history.training) == bits(expected.training)


@pytest.mark.parametrize("epochs", [0, 1.5])
def test_fit_wants_an_epoch(epochs, untyped):
    with pytest.raises(ValueError, match="an int of 1 or more"):
        fnnet.fit(MODEL, ADAM, START, DATA, epochs=epochs, batch_size=8, shuffle=ORDER)


@pytest.mark.parametrize("y", [DATA.y + 1, DATA.y - 1, DATA.y.astype(np.uint8) + 250], ids=["1 to 2", "-1 to 0", "250"])
def test_fit_refuses_classes_that_have_no_output(y):
    with pytest.raises(ValueError, match="in data, expected classes 0 to 1"):
        fnnet.fit(MODEL, ADAM, START, Batch(DATA.x, y), epochs=1, batch_size=8, shuffle=ORDER, progress=False)
    with pytest.raises(ValueError, match="in validation"):
        fnnet.fit(
            MODEL, ADAM, START, DATA, validation=Batch(DATA.x, y),
            epochs=1, batch_size=8, shuffle=ORDER, progress=False,
        )  # fmt: skip


RULES = {
    "nothing": {},
    "stopping": {"early_stopping": EarlyStopping(patience=2)},
    "stopping late": {"early_stopping": EarlyStopping(patience=8, monitor="accuracy")},
    "plateau": {"plateau": ReduceOnPlateau(0.5, patience=1, cooldown=1)},
    "both": {"early_stopping": EarlyStopping(patience=7), "plateau": ReduceOnPlateau(0.1, patience=2)},
    "measured": {"measure_training": 10},
}


@pytest.mark.parametrize("rules", RULES.values(), ids=RULES)
@pytest.mark.parametrize("cut", [1, 5])
def test_a_run_goes_on_from_its_history_as_if_it_had_never_stopped(cut, rules):
    state, history = run(epochs=10, **rules)
    first, part = run(epochs=cut, **rules)
    second, whole = run(state=first, history=part, epochs=10 - cut, **rules)
    assert bits(second) == bits(state)
    assert bits(whole) == bits(history)


def test_a_run_goes_on_from_the_state_and_history_that_on_epoch_saw():
    rule, saved = {"early_stopping": EarlyStopping(patience=9)}, []
    state, history = run(epochs=4, **rule, on_epoch=lambda *seen: saved.append(seen))
    assert len(saved) == 4
    again, whole = run(state=saved[1][0], history=saved[1][1], epochs=2, **rule)
    assert bits((again, whole)) == bits((state, history))


def test_a_run_kept_on_disk_goes_on_from_its_last_checkpoint(tmp_path):
    rules = {"early_stopping": EarlyStopping(patience=9), "plateau": ReduceOnPlateau(0.5, patience=1)}
    with fnnet.CheckpointManager(tmp_path, last=2) as manager:
        on_epoch = lambda state, history: manager.save(  # noqa: E731
            MODEL, ADAM, state, history=history, score=-history.validation.loss[-1]
        )
        expected = run(epochs=6, **rules, on_epoch=on_epoch)
    whole = [fnnet.restore(tmp_path / f"step-{step:010d}.safetensors") for step in (15, 18)]
    assert bits((whole[1].state, whole[1].history)) == bits((expected[1].last, expected[1]))
    again = run(state=whole[0].state, history=whole[0].history, epochs=1, **rules)
    assert bits(again) == bits(expected)


def test_a_history_goes_with_its_state_and_its_metrics():
    rule = {"early_stopping": EarlyStopping(patience=9)}
    _, history = run(**rule)
    with pytest.raises(ValueError, match="expected the state that this history came with"):
        run(history=history, **rule)
    with pytest.raises(ValueError, match="the history has validation metrics"):
        run(history=history, validation=None)
    with pytest.raises(ValueError, match="the history has no measured metrics"):
        run(history=history, measure_training=3)


@pytest.mark.parametrize(
    ("name", "rule"), [("early_stopping", EarlyStopping(patience=9)), ("plateau", ReduceOnPlateau())]
)
def test_a_rule_goes_on_watching_what_it_watched(name, rule):
    """An accuracy of -0.9 would be below every loss, so that no later epoch could be better."""
    state, history = run(**{name: dataclasses.replace(rule, monitor="accuracy")})
    with pytest.raises(ValueError, match=rf"{type(rule).__name__} did not watch the validation loss; go on with"):
        run(state=state, history=history, **{name: rule})


def test_early_stopping_ends_the_run_and_gives_the_best_state_back():
    states, rule = [], EarlyStopping(patience=3)
    state, history = run(epochs=50, early_stopping=rule, on_epoch=lambda state, _: states.append(state))
    best = int(np.argmin(history.validation.loss))
    assert len(history.validation.loss) == best + 1 + 3 < 50
    assert bits(state) == bits(states[best]) != bits(states[-1])
    assert history.stopping.epoch == best + 1
    assert bits(history.last) == bits(states[-1])


@pytest.mark.parametrize(
    ("monitor", "scores", "best", "waited"),
    [
        ("loss", [3, 2, 2, 1.95], 2, 2),
        ("loss", [np.nan, 5, np.nan], 2, 1),
        ("accuracy", [0.2, 0.5, 0.4, 0.5], 2, 2),
        ("loss", [np.inf, np.inf], 0, 2),
    ],
)
def test_early_stopping_counts_epochs_without_a_better_score(monitor, scores, best, waited):
    rule = EarlyStopping(patience=2, min_delta=0.1, monitor=monitor)
    memory = rule.start(state_of(0), jnp.float32)
    for epoch, score in enumerate(scores, 1):
        assert not rule.is_over(memory)
        memory = rule.after(memory, state_of(epoch), metrics(score, score), epoch)
    assert (memory.best, memory.epoch, memory.waited) == (state_of(best), best, waited)
    assert memory.score == np.float32([np.inf, *(scores if monitor == "loss" else np.negative(scores))][best])
    assert rule.is_over(memory) == (waited >= 2)


def test_the_memory_of_early_stopping_keeps_its_dtypes(dtype):
    """Also while 64-bit types are enabled, and in a sweep, where every run has a patience of its own."""
    rules = jax.tree.map(lambda *a: np.stack(a), EarlyStopping(1), EarlyStopping(5))
    memory = EarlyStopping().start((), jnp.float32)
    for epoch in (1, 2, 3):
        assert [a.dtype for a in memory[1:]] == ["float32", "int32", "int32"]
        assert not any(a.weak_type for a in memory[1:])
        memory = EarlyStopping().after(memory, (), metrics(3), epoch)
    assert jax.vmap(lambda rule: rule.is_over(memory))(rules).tolist() == [True, False]


@pytest.mark.parametrize(
    ("rule", "losses", "scales"),
    [
        (ReduceOnPlateau(0.5, patience=2), [3, 3, 3, 3, 3, 1, 1], [1, 1, 0.5, 0.5, 0.25, 0.25, 0.25]),
        (ReduceOnPlateau(0.5, patience=1, cooldown=2), [3, 3, 3, 3, 3], [1, 0.5, 0.5, 0.5, 0.25]),
        (ReduceOnPlateau(0.5, patience=1, cooldown=2), [3, 3, 2, 2, 2], [1, 0.5, 0.5, 0.5, 0.25]),
        (ReduceOnPlateau(0.1, patience=1, lowest=0.05), [3, 3, 3, 3], [1, 0.1, 0.05, 0.05]),
        (ReduceOnPlateau(0.5, patience=1, min_delta=1), [3, 2.5, 1.9, np.nan], [1, 0.5, 0.5, 0.25]),
        (ReduceOnPlateau(0.5, patience=2), [np.nan, np.nan, np.nan], [1, 0.5, 0.5]),
    ],
    ids=repr,
)
def test_a_plateau_scales_the_learning_rate(rule, losses, scales):
    memory, seen = rule.start(), []
    assert [*map(type, memory)] == [np.float64, np.float64, np.int64, np.int64]
    for loss in losses:
        memory = rule.after(memory, metrics(loss))
        assert [*map(type, memory)] == [np.float64, np.float64, np.int64, np.int64]
        assert min(memory.waited, memory.resting) >= 0
        seen.append(memory.scale)
    np.testing.assert_allclose(seen, scales)


def test_what_a_plateau_scales_is_every_learning_rate_and_nothing_else():
    decay = fnnet.CosineDecay(0.1, 9)
    chain = fnnet.Chain((fnnet.ClipByGlobalNorm(1.0), fnnet.Adam(decay), fnnet.Sgd(0.2, 0.9)))
    expected = fnnet.Chain(
        (fnnet.ClipByGlobalNorm(1.0), fnnet.Adam(Scaled(decay, 0.5)), fnnet.Sgd(Scaled(0.2, 0.5), 0.9))
    )
    assert scaled(chain, 0.5) == expected
    rate = fnnet.at_step(scaled(fnnet.Adam(decay), 0.5), 3, jnp.float32).learning_rate
    np.testing.assert_allclose(rate, 0.5 * decay.value_at(jnp.float32(3)), rtol=1e-6)
    for without in (fnnet.ClipByValue(1.0), fnnet.Chain((fnnet.ClipByValue(1.0), fnnet.WeightDecay(0.1)))):
        with pytest.raises(ValueError, match="a field learning_rate"):
            scaled(without, 0.5)


@fnnet.spec
class Of:
    """An optimizer with a class in a static field."""

    kind: type = fnnet.static()
    learning_rate: fnnet.Number = 0.1

    def init(self, params):
        return ()

    def update(self, grads, opt_state, params, *, key=None):
        return grads, opt_state


def test_a_class_in_an_optimizer_is_left_alone():
    assert scaled(Of(fnnet.Adam), 0.5) == Of(fnnet.Adam, Scaled(0.1, 0.5))


def test_a_plateau_makes_steps_smaller_without_compiling_again():
    plain = {"validation": OTHER, "optimizer": fnnet.Sgd(0.1), "state": fnnet.init_state(MODEL, fnnet.Sgd(0.1), ORDER)}
    never = ReduceOnPlateau(0.5, patience=1, min_delta=1e6)  # nothing is ever that much better than inf
    _, history = run(**plain, epochs=1, plateau=never)
    programs = fnnet.train_epoch._cache_size()
    state, history = run(**plain, epochs=4, plateau=never)
    assert fnnet.train_epoch._cache_size() == programs
    assert history.plateau.scale == 1 / 8
    by_hand = plain["state"]
    for scale in (1, 1, 1 / 2, 1 / 4):
        by_hand, _ = fnnet.train_epoch(MODEL, fnnet.Sgd(0.1 * scale), by_hand, DATA, batch_size=8, shuffle=ORDER)
    np.testing.assert_allclose(state.params[0].w, by_hand.params[0].w, rtol=1e-5)


def test_rows_held_out_are_a_share_of_every_class_and_train_nothing():
    y = np.repeat([0, 1], [40, 20]).astype(np.int32)
    x = np.zeros((60, 3), np.float32)
    x[:, 0] = np.arange(60)
    _, history = run(data=Batch(x / 60, y), validation=0.2, epochs=1, measure_training=1000)
    assert history.validation.weight == 12
    assert history.measured.weight == history.training.weight == 48
    with pytest.raises(ValueError, match="leaves a part empty"):
        run(validation=0.01)


def test_measured_are_training_rows_at_fixed_parameters():
    state, history = run(measure_training=10, class_weights=(1, 5))
    expected = fnnet.evaluate(MODEL, state.params, Batch(DATA.x[:10], DATA.y[:10]), step=state.step)
    np.testing.assert_allclose(history.measured.loss[-1], expected.loss, rtol=1e-6)
    assert history.measured.loss[-1] != history.training.loss[-1]


def test_class_weights_are_weights_of_rows():
    w = np.array([1, 5], np.float32)
    expected, _ = run(data=WEIGHTED._replace(weights=WEIGHTED.weights * w[DATA.y]))
    state, _ = run(data=WEIGHTED, class_weights=(1, 5))
    assert bits(state) == bits(expected)


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_class_weights_of_one_output(dtype):
    model = fnnet.mlp((3, 1), loss=fnnet.SigmoidBinaryCrossEntropy())
    own = {"model": model, "state": fnnet.init_state(model, ADAM, jax.random.key(0)), "validation": None, "epochs": 1}
    column, w = WEIGHTED._replace(y=DATA.y[:, None].astype(dtype)), np.array([1, 5], np.float32)
    expected, _ = run(data=column._replace(weights=WEIGHTED.weights * w[DATA.y]), **own)
    state, _ = run(data=column, class_weights=(1, 5), **own)
    assert bits(state) == bits(expected)
    with pytest.raises(ValueError, match=r"integer classes \(N,\), or \(N, 1\) of 0 and 1, got targets of float32"):
        run(data=column._replace(y=np.float32(0.5) * column.y.astype(np.float32)), class_weights=(1, 5), **own)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"class_weights": (1,)}, "a class weight for classes 0 to 1"),
        ({"class_weights": (1, -1)}, "finite numbers of 0 or more"),
        ({"class_weights": (1, 2), "data": DATA._replace(y=np.eye(2, dtype=np.float32)[DATA.y])}, "integer classes"),
        ({"validation": 1.5}, "a fraction between 0 and 1"),
        ({"validation": 0.5, "shuffle": None}, "a key made from shuffle"),
        ({"validation": None, "early_stopping": EarlyStopping()}, "EarlyStopping looks at validation data"),
        ({"validation": None, "plateau": ReduceOnPlateau()}, "ReduceOnPlateau looks at validation data"),
        ({"measure_training": 0}, "a number of rows"),
        ({"measure_training": True}, "a number of rows"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        run(**settings)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: EarlyStopping(patience=0), "1 <= patience"),
        (lambda: EarlyStopping(monitor="error"), '"loss" or "accuracy"'),
        (lambda: ReduceOnPlateau(factor=1), "factor < 1"),
        (lambda: ReduceOnPlateau(lowest=2), "lowest <= 1"),
    ],
)
def test_rules_check_their_settings(build, message, untyped):
    with pytest.raises(ValueError, match=message):
        build()


def test_ctrl_c_ends_the_run_with_what_the_last_epoch_left():
    def interrupted(state, history):
        if len(history.training.loss) == 2:
            raise KeyboardInterrupt

    with pytest.raises(fnnet.Interrupted, match="Ctrl-C after 2 of 9 epochs") as caught:
        run(epochs=9, on_epoch=interrupted)
    state, history = caught.value.state, caught.value.history
    assert isinstance(caught.value, KeyboardInterrupt), "a loop over fit ends, too"
    expected, part = run(epochs=2)
    assert bits((state, history)) == bits((expected, part))
    again, _ = run(state=state, history=history, epochs=1)
    assert bits(again) == bits(run(epochs=3)[0])


def test_ctrl_c_in_the_first_epoch_leaves_the_start(monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(InMemory, "epoch", interrupted)
    with pytest.raises(fnnet.Interrupted) as caught:
        run()
    state, history = caught.value.state, caught.value.history
    assert bits(state) == bits(START)
    assert [a.shape for a in jax.tree.leaves(history)] == [(0,)] * 6


@pytest.mark.parametrize("data", [DATA, WEIGHTED], ids=["rows", "weighted"])
@pytest.mark.parametrize("shuffle", [ORDER, None], ids=["shuffled", "as they stand"])
def test_streaming_gives_the_same_bits(data, shuffle, tmp_path):
    settings = {"epochs": 2, "shuffle": shuffle, "measure_training": 9}
    in_memory = run(data=data, **settings)
    streamed = run(data=mapped(data, tmp_path), validation=mapped(OTHER, tmp_path.parent), **settings)
    assert bits(streamed) == bits(in_memory)


def test_streaming_holds_the_same_rows_out(tmp_path):
    settings = {"epochs": 2, "validation": 0.3, "class_weights": (1, 2)}
    assert bits(run(data=mapped(WEIGHTED, tmp_path), **settings)) == bits(run(data=WEIGHTED, **settings))


@pytest.mark.parametrize("chunk_bytes", [1, 8 * 12 * 2, 10**9])
def test_chunks_of_any_size_give_the_same_bits(chunk_bytes, tmp_path):
    bad = WEIGHTED.x.copy()
    bad[WEIGHTED.weights == 0] = np.nan
    source = Streamed(Rows(mapped(WEIGHTED._replace(x=bad), tmp_path)), chunk_bytes)
    streamed = source.epoch(MODEL, ADAM, START, 8, ORDER)
    assert bits(streamed) == bits(fnnet.train_epoch(MODEL, ADAM, START, WEIGHTED, batch_size=8, shuffle=ORDER))


def test_chunks_of_another_dtype_become_that_of_the_parameters(tmp_path):
    half = DATA._replace(x=DATA.x.astype(np.float16))
    streamed = Streamed(Rows(mapped(half, tmp_path))).epoch(MODEL, ADAM, START, 8, ORDER)
    assert bits(streamed) == bits(fnnet.train_epoch(MODEL, ADAM, START, half, batch_size=8, shuffle=ORDER))


@pytest.mark.parametrize("batch_size", [1, 7, 23, 100])
def test_evaluation_can_be_streamed(batch_size, tmp_path):
    streamed = Streamed(Rows(mapped(WEIGHTED, tmp_path))).measure(MODEL, START, batch_size)
    assert bits(streamed) == bits(fnnet.evaluate(MODEL, START.params, WEIGHTED, batch_size=batch_size))


@pytest.fixture
def large(tmp_path):
    """4096 rows of 64 bytes in a file, the model of them and its state."""
    x = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.uint8, (4096, 64))
    x[:] = RNG.integers(0, 255, x.shape)
    model = fnnet.mlp((64, 2), scale=1 / 255)
    return model, fnnet.init_state(model, fnnet.Sgd(0.1), ORDER), Batch(x, (x[:, 0] > 99).astype(np.int32))


def test_a_stream_is_never_on_the_device_as_a_whole(large):
    """Of the arrays that this run makes: those of other tests may live in the process."""
    (model, state, data), held, others = large, [], jax.live_arrays()
    known = {id(a) for a in others}
    on_epoch = lambda *_: held.append(max(a.nbytes for a in jax.live_arrays() if id(a) not in known))  # noqa: E731
    run(
        model=model, optimizer=fnnet.Sgd(0.1), state=state, data=data, epochs=2, validation=None, batch_size=512,
        on_epoch=on_epoch,
    )  # fmt: skip
    assert max(held) < data.x.nbytes / 4


def test_a_stream_holds_two_chunks_at_most(large, monkeypatch):
    """A chunk is read while the device works on the one before, whose own predecessor is done."""
    (model, state, data), seen = large, []
    stacked, wait = sources.stacked, jax.block_until_ready

    def watched(*arguments):
        for chunk in stacked(*arguments):
            seen.append(chunk.x.nbytes)
            yield chunk

    monkeypatch.setattr(sources, "stacked", watched)
    monkeypatch.setattr(jax, "block_until_ready", lambda parts: seen.append(len(parts)) or wait(parts))
    Streamed(Rows(data), chunk_bytes=2**16).epoch(model, fnnet.Sgd(0.1), state, 256, None)
    assert seen == [2**16, 0, 2**16, 1, 2**16, 1, 2**16, 1]


def bad_at(row, value, where="x"):
    """DATA with one number that is none."""
    data = DATA._replace(y=np.eye(2, dtype=np.float32)[DATA.y]) if where == "y" else DATA
    array = getattr(data, where).copy()
    array[row, 1] = value
    return data._replace(**{where: array})


@pytest.mark.parametrize("in_file", [False, True], ids=["in memory", "in a file"])
def test_a_run_that_goes_bad_says_in_which_step_and_what(in_file, tmp_path):
    data = bad_at(3, np.nan)
    with pytest.raises(fnnet.NonFiniteError, match=r"after epoch 1 \(loss nan\); in step .* is x: nan at") as caught:
        run(data=mapped(data, tmp_path) if in_file else data)
    error = caught.value
    rows, _ = plan(ORDER, jnp.int32(0), 23, 8)
    step, place = np.argwhere(np.asarray(rows) == 3)[0]
    assert (error.culprit.step, error.culprit.entry) == (step, (place, 1))
    assert (error.epoch, error.history, error.culprit.tensor) == (1, None, "x")
    assert bits(error.state) == bits(START)


def test_the_first_layer_to_overflow_is_named():
    model = fnnet.mlp((3, 4, 2), activation=fnnet.Exp())
    optimizer = fnnet.Sgd(0.0)
    state = fnnet.init_state(model, optimizer, ORDER)
    data = DATA._replace(x=np.where(np.arange(23)[:, None] == 4, np.float32(1e30), DATA.x).astype(np.float32))
    with pytest.raises(fnnet.NonFiniteError, match="y, the output of layer 1 Exp") as caught:
        run(model=model, optimizer=optimizer, state=state, data=data)
    assert np.isinf(caught.value.culprit.value)


def test_an_update_that_overflows_is_found_in_the_epoch_that_made_it():
    optimizer = fnnet.Sgd(fnnet.ExponentialDecay(1e-3, 1e38))
    model = fnnet.mlp((3, 2), loss=fnnet.SquaredError())
    state = fnnet.init_state(model, optimizer, ORDER)
    data = Batch(100 * DATA.x, np.eye(2, dtype=np.float32)[DATA.y])
    with pytest.raises(fnnet.NonFiniteError, match="after the update, params") as caught:
        run(model=model, optimizer=optimizer, state=state, data=data, validation=None, batch_size=23)
    assert (caught.value.epoch, len(caught.value.history.training.loss)) == (2, 1)
