"""Partition and Matrices: who moves what, with which key, in every combination with what stands inside and around."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnnet
from fnnet import sweeps
from fnnet._spec import spec
from fnnet.layers import DenseParams
from fnnet.optimizers import (
    Adam,
    AdamW,
    Average,
    Chain,
    ClipByGlobalNorm,
    GradientNoise,
    Matrices,
    Muon,
    Partition,
    ScheduleFreeAdam,
    Sgd,
    WeightDecay,
    averaged,
)
from fnnet.protocols import Selector
from tests.checkpoints.test_checkpoints import bits

KEY = jax.random.key(4)
PARAMS = (DenseParams(jnp.ones((3, 2)), jnp.ones(2)), (), {"w": jnp.ones((2, 2, 3, 4)), "v": jnp.ones((2, 2))}, None)
BOTH = Partition(Matrices(), Sgd(1.0), Sgd(10.0))
MODEL = fnnet.mlp((3, 4, 2), activation=fnnet.Tanh())
DATA = fnnet.Batch(np.random.default_rng(0).normal(size=(12, 3)).astype("f"), np.arange(12, dtype="i") % 2)
WHOLE = Chain(
    (ClipByGlobalNorm(1.0), Partition(Matrices(), Muon(0.02), Chain((Adam(0.01), GradientNoise(1e-3)))), Average(0.9))
)


def ones_like(params):
    return jax.tree.map(jnp.ones_like, params)


def shown(tree):
    return [float(a.ravel()[0]) for a in jax.tree.leaves(tree)]


def test_matrices_are_weights_of_two_axes():
    params = (*PARAMS[:3], {"w": jnp.ones(2)})

    def selected(selector):
        found = jax.tree_util.tree_map_with_path(selector.selects, params)
        return [found[0].w, found[0].b, found[2]["w"], found[2]["v"], found[3]["w"]]

    assert selected(Matrices()) == [True, False, False, False, False]
    assert selected(Matrices(kernels=True)) == [True, False, True, False, False]


def test_each_part_moves_its_own():
    updates, _ = BOTH.update(ones_like(PARAMS), BOTH.init(PARAMS), PARAMS)
    assert jax.tree.structure(updates) == jax.tree.structure(PARAMS)
    assert (shown(updates[0]), shown(updates[2])) == ([-1, -10], [-10, -10])
    kernels = Partition(Matrices(kernels=True), Sgd(1.0), Sgd(10.0))
    updates, _ = kernels.update(ones_like(PARAMS), kernels.init(PARAMS), PARAMS)
    assert updates[2].keys() == {"v", "w"}
    assert shown(updates[2]) == [-10, -1]


def test_the_state_has_an_array_for_nobody_elses_parameters():
    state = Partition(Matrices(), Sgd(1.0, 0.9), Adam()).init(PARAMS)
    assert [a.shape for a in jax.tree.leaves(state[0])] == [(3, 2)]
    assert [a.shape for a in jax.tree.leaves(state[1].m)] == [(2,), (2, 2), (2, 2, 3, 4)]


def test_parts_are_those_that_would_train_alone():
    """Three updates of weights as Adam makes them, and of biases as momentum does."""
    params, grads = (DenseParams(jnp.ones((3, 2)), jnp.ones(2)),) * 2
    both, state = Partition(Matrices(), Adam(0.1), Sgd(0.1, 0.9)), None
    state, alone, own = both.init(params), (Adam(0.1), Sgd(0.1, 0.9)), None
    own = [optimizer.init(params) for optimizer in alone]
    for factor in (1.0, -2.0, 0.5):
        g = jax.tree.map(lambda a, f=factor: f * a, grads)
        updates, state = both.update(g, state, params)
        wanted = [optimizer.update(g, s, params) for optimizer, s in zip(alone, own, strict=True)]
        own = [s for _, s in wanted]
        np.testing.assert_array_equal(updates.w, wanted[0][0].w)
        np.testing.assert_array_equal(updates.b, wanted[1][0].b)


def test_each_part_draws_from_its_own_key():
    params = DenseParams(jnp.zeros((2, 2)), jnp.zeros(4))
    noise = Partition(Matrices(), GradientNoise(1.0), GradientNoise(1.0))
    updates, _ = noise.update(params, noise.init(params), params, key=KEY)
    for i, update in enumerate(updates):
        alone, _ = GradientNoise(1.0).update((update,), None, (update,), key=jax.random.fold_in(KEY, i))
        np.testing.assert_array_equal(update, alone[0] - update)
    with pytest.raises(ValueError, match=r"^GradientNoise\.update: expected a key, got None"):
        noise.update(params, noise.init(params), params)


def trained(optimizer, model=MODEL, data=DATA, steps=3):
    state = fnnet.init_state(model, optimizer, KEY)
    return fnnet.train(model, optimizer, state, data, epochs=steps, batch_size=4, shuffle=KEY)[0]


def test_integers_and_running_statistics_are_left_alone():
    network = fnnet.Serial((fnnet.Dense(4), fnnet.BatchNorm(), fnnet.Relu(), fnnet.Dense(2)))
    model = fnnet.Model(network, fnnet.SoftmaxCrossEntropy(), (3,))
    before, after = fnnet.init_state(model, WHOLE, KEY), trained(WHOLE, model)
    assert np.all(np.asarray(after.params[1].statistics.mean) != before.params[1].statistics.mean)
    mean = averaged(after.opt_state, after.params)
    np.testing.assert_array_equal(mean[1].statistics.mean, after.params[1].statistics.mean)
    assert np.all(np.asarray(mean[0].w) != after.params[0].w)
    params = {"w": jnp.ones((2, 2)), "b": jnp.ones(2), "count": None}
    updates, _ = BOTH.update(params, BOTH.init(params), params)
    assert updates["count"] is None


@pytest.mark.slow
def test_all_of_it_trains_and_is_saved(tmp_path):
    before = fnnet.loss(MODEL, fnnet.init_state(MODEL, WHOLE, KEY).params, *DATA[:2])
    state = trained(WHOLE, steps=20)
    assert float(fnnet.loss(MODEL, state.params, *DATA[:2])) < 0.95 * float(before)
    fnnet.save(tmp_path / "run.safetensors", MODEL, WHOLE, state)
    saved = fnnet.restore(tmp_path / "run.safetensors")
    assert saved.optimizer == WHOLE
    assert bits(saved.state) == bits(state)
    go_on = {"epochs": 2, "batch_size": 4, "shuffle": KEY}
    one, _ = fnnet.train(MODEL, WHOLE, state, DATA, **go_on)
    two, _ = fnnet.train(saved.model, saved.optimizer, saved.state, DATA, **go_on)
    assert bits(one) == bits(two)


def test_numbers_of_either_part_are_swept_and_scheduled():
    def losses(rate, inner):
        part = Partition(Matrices(), Muon(rate), Adam(inner))
        state = fnnet.init_state(MODEL, part, KEY)
        return fnnet.train(MODEL, part, state, DATA, epochs=2, batch_size=4, shuffle=None)[1].training.loss

    pairs = [(0.02, 0.01), (0.1, 0.3)]
    swept = jax.vmap(losses)(*(jnp.asarray(numbers) for numbers in zip(*pairs, strict=True)))
    np.testing.assert_allclose(swept, [losses(*pair) for pair in pairs], rtol=1e-4)
    assert abs(swept[0] - swept[1]).max() > 1e-3
    steady, moving = (losses(schedule(0.02), schedule(0.01)) for schedule in (fnnet.ConstantSchedule, falling))
    np.testing.assert_allclose(steady, swept[0], rtol=1e-4)
    assert abs(moving - steady).max() > 1e-5


def falling(rate):
    return fnnet.LinearSchedule(rate, 0, 6)


def test_a_sweep_finds_the_numbers_of_either_part():
    base = sweeps.Configuration(MODEL, Partition(Matrices(), Muon(), Adam()), 4)
    points = sweeps.grid(base, {"optimizer.chosen.learning_rate": (0.1, 0.2), "optimizer.rest.learning_rate": (1, 2)})
    rates = [
        (p.configuration.optimizer.chosen.learning_rate, p.configuration.optimizer.rest.learning_rate) for p in points
    ]
    assert rates == [(0.1, 1), (0.1, 2), (0.2, 1), (0.2, 2)]


def test_averages_of_the_parts_are_read_together():
    params = DenseParams(jnp.zeros((2, 2)), jnp.zeros(2))
    grads, rate = ones_like(params), Sgd(1.0)

    def mean(optimizer):
        theta, state = params, optimizer.init(params)
        for _ in range(2):
            updates, state = optimizer.update(grads, state, theta)
            theta = jax.tree.map(jnp.add, theta, updates)
        return shown(averaged(state, theta))

    average = Chain((rate, Average(0.5)))  # of -1 and -2: -5/3; what none averages is where it is, at -2
    np.testing.assert_allclose(mean(Partition(Matrices(), average, rate)), [-5 / 3, -2], rtol=1e-6)
    np.testing.assert_allclose(mean(Partition(Matrices(), rate, average)), [-2, -5 / 3], rtol=1e-6)
    np.testing.assert_allclose(mean(Partition(Matrices(), average, average)), [-5 / 3, -5 / 3], rtol=1e-6)
    np.testing.assert_allclose(mean(Partition(Matrices(), rate, ScheduleFreeAdam(1.0))), [-2, -1.5], rtol=1e-4)
    with pytest.raises(ValueError, match=r"^averaged: expected .* with one Average, got 2 of them"):
        mean(Chain((Partition(Matrices(), average, rate), Average(0.5))))


# ------------------------------------------------------------------ what is refused
def test_a_selection_of_nothing_says_what_to_do():
    model = fnnet.Model(fnnet.Serial((fnnet.Conv(2, (3,)), fnnet.GlobalMeanPool())), fnnet.SquaredError(), (5, 1))
    message = (
        r"^Partition: Matrices\(\) selects none of params\[0\].w of shape \(3, 1, 2\), params\[0\].b of shape \(2,\); "
        r"select others \(Matrices\(kernels=True\) .*\), or write Adam alone"
    )
    with pytest.raises(ValueError, match=message):
        fnnet.init_state(model, Partition(Matrices(), Muon(), Adam()), KEY)
    fnnet.init_state(model, Partition(Matrices(kernels=True), Muon(), Adam()), KEY)
    with pytest.raises(ValueError, match=r"params\['f'\] of shape \(2,\) and 1 more; select others"):
        BOTH.init({name: jnp.ones(2) for name in "abcdefg"})


def test_where_there_is_nothing_to_select_from_nothing_is_missing():
    assert BOTH.update((), BOTH.init(()), ()) == ((), (None, None))


def test_a_part_that_acts_on_names_that_only_the_other_has_is_refused():
    """Weights are there, but decay would never see them."""
    message = r"^Partition: {} acts on parameters named w only, and finds none among params\[0\].b, params\[2\].b"
    for rest in (AdamW(), Chain((Adam(), WeightDecay(0.1)))):
        name = "AdamW" if isinstance(rest, AdamW) else "WeightDecay"
        with pytest.raises(ValueError, match=message.format(name)):
            fnnet.init_state(MODEL, Partition(Matrices(), Muon(), rest), KEY)
    fnnet.init_state(MODEL, Partition(Matrices(), Chain((Muon(), WeightDecay(0.1))), Adam()), KEY)
    biases = spec(type("Biases", (Own,), {"selects": lambda s, path, p: p.ndim == 1}))
    with pytest.raises(ValueError, match=message.format("AdamW")):
        fnnet.init_state(MODEL, Partition(biases(), AdamW(), Muon()), KEY)


def test_names_are_looked_for_inside_of_a_partition():
    params = {"kernel": jnp.ones((2, 2)), "b": jnp.ones(2)}
    with pytest.raises(ValueError, match=r"^here: WeightDecay acts on parameters named w only"):
        fnnet.protocols.check_names("here", Chain((Partition(Matrices(), WeightDecay(0.1), Adam()),)), params)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Partition(Matrices, Muon(), Adam()), "select to be a selector .*, got the class Matrices; build it"),
        (lambda: Partition("w", Muon(), Adam()), "select to be a selector .*, got 'w', which has no selects"),
        (lambda: Partition(Muon(), Muon(), Adam()), r"select to be a selector .*, got Muon\(\), which has no selects"),
        (lambda: Partition(Matrices(), Muon, Adam()), "chosen to be an optimizer .*, got the class Muon; build it"),
        (lambda: Partition(Matrices(), Muon(), None), "rest to be an optimizer .*, got None, which has no init"),
        (
            lambda: Partition(Matrices(), Matrices(), Adam()),
            r"chosen to be an optimizer .*, got Matrices\(\), which has",
        ),
    ],
)
def test_things_of_another_kind_are_refused(build, message, untyped):
    with pytest.raises(TypeError, match=f"^Partition: expected {message}"):
        build()


@spec
class Own:
    """Selects what the test says."""

    def selects(self, path, parameter):
        return jax.tree_util.keystr(path) == "[0].w"


def test_a_selector_of_ones_own():
    assert isinstance(Own(), Selector)
    updates, _ = Partition(Own(), Sgd(1.0), Sgd(10.0)).update((PARAMS[0],) * 2, (None, None), (PARAMS[0],) * 2)
    assert shown(updates) == [-1, -10, -10, -10]


BROKEN = {
    "a number": (lambda s, path, p: 1, "expected True or False, got int"),
    "an array": (lambda s, path, p: p.sum() > 0, r"expected True or False, got an array of shape \(\)"),
    "no path": (lambda s, p: True, r"expected `def selects\(self, path, parameter\)`, got the arguments"),
    "asks numbers": (lambda s, path, p: bool(p.sum() > 0), "expected nothing but jax.numpy on arrays"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_selector_that_breaks_its_contract_is_named(case):
    function, message = BROKEN[case]
    own = spec(type("Broken", (Own,), {"selects": function}))
    with pytest.raises(TypeError, match=f"^Broken.selects: {message}"):
        fnnet.init_state(MODEL, Partition(own(), Sgd(0.1), Adam()), KEY)


def test_numpys_own_bools_will_do():
    own = spec(type("Own", (Own,), {"selects": lambda s, path, p: np.bool_(p.ndim == 2)}))
    fnnet.init_state(MODEL, Partition(own(), Muon(), Adam()), KEY)
