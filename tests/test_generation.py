"""Sequences that a network writes: against a loop in Python, and what can be written at all."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnnet
from fnnet import Batch

MODEL = fnnet.gpt(5, layers=1, heads=2, width=8, context=4)


@pytest.fixture(scope="module")
def params():
    """Those of a network whose answer depends on what came before."""
    leaves, tree = jax.tree.flatten(fnnet.init(MODEL, jax.random.key(0)))
    keys = [jax.random.fold_in(jax.random.key(1), i) for i in range(len(leaves))]
    return tree.unflatten(p + 0.5 * jax.random.normal(k, p.shape) for p, k in zip(leaves, keys, strict=True))


@pytest.mark.parametrize("prompt", [[3], [1, 2, 0], [0, 1, 2, 3, 4, 0, 3]], ids=len)
def test_the_likeliest_tokens_are_those_of_a_loop(params, prompt):
    tokens = list(prompt)
    for _ in range(9):
        seen = tokens[-4:]
        logits = fnnet.forward(MODEL, params, np.array([seen + [0] * (4 - len(seen))]))
        tokens.append(int(logits[0, len(seen) - 1].argmax()))
    got = fnnet.generate(MODEL, params, np.array(prompt), jax.random.key(0), 9, temperature=0.0)
    assert (got.dtype, got.tolist()) == (jnp.int32, tokens)
    assert len({*tokens[len(prompt) :]}) > 1, "a network that writes one token whatever came before"


def test_draws_in_bfloat16_favor_no_token():
    """Noise of 128 numbers would draw the first of equal tokens ten times as often as the last."""
    model = fnnet.gpt(1000, layers=1, heads=1, width=4, context=2)
    params = jax.tree.map(jnp.zeros_like, fnnet.init(model, jax.random.key(0), jnp.bfloat16))
    drawn = fnnet.generate(model, params, np.zeros((8000, 1), int), jax.random.key(1), 1)[:, 1]
    np.testing.assert_allclose(np.bincount(drawn // 200, minlength=5) / 8000, 1 / 5, atol=0.03)


def test_draws_follow_the_softmax_at_the_temperature(params):
    prompt = np.tile(np.array([[2, 4]]), (4000, 1))
    logits = np.asarray(fnnet.forward(MODEL, params, np.array([[2, 4, 0, 0]])))[0, 1]
    for temperature in (0.5, 2.0):
        drawn = fnnet.generate(MODEL, params, prompt, jax.random.key(3), 1, temperature)[:, 2]
        want = np.asarray(jax.nn.softmax(logits / temperature))
        np.testing.assert_allclose(np.bincount(drawn, minlength=5) / 4000, want, atol=0.03)


def test_every_step_and_every_sequence_draws_anew(params):
    """From five tokens that are equally likely, whatever came before."""
    even = jax.tree.map(jnp.zeros_like, params)
    drawn = np.asarray(fnnet.generate(MODEL, even, np.zeros((50, 1), int), jax.random.key(0), 60))[:, 1:]
    np.testing.assert_allclose(np.bincount(drawn.ravel()) / drawn.size, 0.2, atol=0.03)
    for axis in (0, 1):
        repeated = (np.diff(drawn, axis=axis) == 0).mean()
        assert abs(repeated - 0.2) < 0.03, "as often as by chance"


def test_the_same_key_gives_the_same_tokens_under_jit_too(params):
    prompt = np.array([[1], [3]])
    first, again, other = (fnnet.generate(MODEL, params, prompt, jax.random.key(k), 20) for k in (0, 0, 1))
    compiled = jax.jit(lambda p, key: fnnet.generate(MODEL, p, prompt, key, 20))(params, jax.random.key(0))
    assert first.shape == (2, 21)
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(first, compiled)
    assert (first != other).any()


def test_the_prompt_may_be_traced(params):
    prompt, key = jnp.array([1, 2, 0]), jax.random.key(0)
    compiled = jax.jit(lambda tokens: fnnet.generate(MODEL, params, tokens, key, 5))(prompt)
    np.testing.assert_array_equal(compiled, fnnet.generate(MODEL, params, prompt, key, 5))


def test_what_was_learned_is_written():
    """A sequence that repeats 0 1 2 3 4 goes on as it began."""
    rows = (np.arange(5)[np.arange(40) % 5][:, None] + np.arange(5)) % 5
    optimizer = fnnet.Adam(0.01)
    state = fnnet.init_state(MODEL, optimizer, jax.random.key(0))
    data = Batch(rows[:, :4].astype(np.uint8), rows[:, 1:].astype(np.uint8))
    state, _ = fnnet.fit(MODEL, optimizer, state, data, epochs=20, batch_size=8, shuffle=None, progress=False)
    written = fnnet.generate(MODEL, state.params, np.array([3]), jax.random.key(0), 11, temperature=0.1)
    assert written.tolist() == [3, 4, 0, 1, 2, 3, 4, 0, 1, 2, 3, 4]


REFUSED = {
    "token": ({"tokens": np.array([5])}, "^generate: in tokens, Embedding: expected tokens from 0 to 4, got 5"),
    "empty": ({"tokens": np.zeros((2, 0), int)}, r"^generate: expected integer tokens .* got int32 \(2, 0\)"),
    "floats": ({"tokens": np.array([0.5])}, "^generate: expected integer tokens"),
    "steps": ({"steps": -1}, "expected steps to be an int of 0 or more, got -1"),
    "temperature": ({"temperature": -0.1}, "expected temperature to be 0 or more, got -0.1"),
    "a state": (
        {"params": fnnet.TrainState((), (), np.int32(0), None)},
        "^generate: expected the parameters of the network, got a TrainState; pass state.params",
    ),
    "key": ({"key": 3}, "expected key to be a key such as"),
    "seeing ahead": (
        {"model": fnnet.Model(fnnet.Residual(fnnet.Attention(1, causal=False)), fnnet.SquaredError(), (4,))},
        "expected layers that see no later steps, got Attention",
    ),
    "images": ({"model": fnnet.mlp((4, 2), input_shape=(2, 2))}, r"expected a model of tokens, input_shape \(T,\)"),
    "one class": (
        {"model": fnnet.Model(fnnet.Serial((fnnet.Embedding(5, 8), fnnet.Flatten())), fnnet.SquaredError(), (4,))},
        r"logits of shape \(B, 4, V\), one set per step, got \(1, 32\)",
    ),
}


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_written_is_refused(params, name):
    changed, message = REFUSED[name]
    arguments = {"model": MODEL, "tokens": np.array([1]), "key": jax.random.key(0), "steps": 3, "temperature": 1.0}
    arguments |= {"params": params} | changed
    if name == "one class":
        arguments["params"] = fnnet.init(arguments["model"], jax.random.key(0))
    with pytest.raises((TypeError, ValueError), match=message):
        fnnet.generate(**arguments)
