"""The JavaScript computes what fnnet computes: every number of a pass and a step, for every layer and every loss."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnnet
from fnnet._xla.compile_once import jit_once
from fnnet.page._export import describe
from tests.page.browser import Opened, started

pytestmark = pytest.mark.browser
TOLERANCE = 1e-10
"""Relative to the largest entry of an array; both sides compute in float64, from the same float32 parameters."""

ACTIVATIONS = [
    *(fnnet.Identity(), fnnet.Sigmoid(), fnnet.HardSigmoid(), fnnet.Tanh(), fnnet.Relu(), fnnet.LeakyRelu(0.2)),
    *(fnnet.Elu(0.7), fnnet.Selu(), fnnet.Gelu(), fnnet.Gelu(approximate=True), fnnet.Silu(), fnnet.Softplus()),
    *(fnnet.Exp(), fnnet.Softmax()),
]
D, C = fnnet.Dense, fnnet.Conv
NETWORKS = {repr(f): ((5,), (D(6), f, D(3))) for f in ACTIVATIONS} | {
    "without biases": ((5,), (D(4, biases=None), fnnet.Tanh(), D(3))),
    "rows in rows": ((4, 5), (D(6), fnnet.Tanh(), fnnet.Flatten(), D(3))),
    "rescaled": ((5,), (fnnet.Rescale(0.3), D(3))),
    "standardized by numbers": ((5,), (fnnet.Standardize(0.3, 2.0), D(3))),
    "standardized by columns": ((3,), (fnnet.Standardize(np.arange(3.0), np.array([1, 2, 0.5])), D(3))),
    "reshaped": ((6, 4), (fnnet.Reshape((3, 8)), D(2), fnnet.Flatten(), D(3))),
    "residual": ((5,), (D(4), fnnet.Residual(fnnet.Serial((D(6), fnnet.Relu(), D(4)))), D(3))),
    "residual of one": ((5,), (fnnet.Residual(fnnet.Residual(D(5))), fnnet.Serial((fnnet.Tanh(), D(3))))),
    "conv": ((6, 7, 2), (C(3, (3, 2)), fnnet.Relu(), fnnet.Flatten(), D(3))),
    "conv, strided": ((7, 8, 2), (C(3, (3, 3), stride=(2, 3), dilation=2), fnnet.Flatten(), D(3))),
    "conv, valid": ((7, 8, 2), (C(3, (2, 3), padding="valid", biases=None), fnnet.Flatten(), D(3))),
    "conv, padded in groups": ((5, 6, 4), (C(6, (3, 3), padding=((2, 0), (1, 3)), groups=2), fnnet.Flatten(), D(3))),
    "max pool": ((5, 6, 2), (fnnet.MaxPool((2, 2)), fnnet.Flatten(), D(3))),
    "max pool, overlapping": ((6, 7, 2), (fnnet.MaxPool((3, 3), stride=2, padding="same"), fnnet.Flatten(), D(3))),
    "mean pool": ((5, 6, 2), (fnnet.MeanPool((2, 3)), fnnet.Flatten(), D(3))),
    "mean pool, overlapping": ((6, 7, 2), (fnnet.MeanPool((3, 3), stride=1, padding="same"), fnnet.Flatten(), D(3))),
    "global mean pool": ((5, 6, 2), (C(4, (3, 3)), fnnet.GlobalMeanPool(), D(3))),
    "global max pool": ((5, 6, 2), (C(4, (3, 3)), fnnet.GlobalMaxPool(), D(3))),
}
LOSSES = {
    "softmax": fnnet.SoftmaxCrossEntropy(),
    "smoothed": fnnet.SoftmaxCrossEntropy(0.1),
    "sigmoid": fnnet.SigmoidBinaryCrossEntropy(),
    "squared": fnnet.SquaredError(),
}
CASES = {f"{name}, softmax": (shape, layers, "softmax") for name, (shape, layers) in NETWORKS.items()}
CASES |= {f"Tanh(), {loss}": (*NETWORKS["Tanh()"], loss) for loss in LOSSES}
RATE = 0.3

RUN = """([document, x, t, rate]) => {
  const { network, loss, params } = fnnet.decodedTree(document);
  const array = ({ shape, data }) => ({ shape, data: Float64Array.from(data) });
  const tree = (node) => node === null ? null : node.data ? { shape: node.shape, data: [...node.data] }
    : Array.isArray(node) ? node.map(tree)
    : Object.fromEntries(Object.entries(node).map(([k, v]) => [k, tree(v)]));
  const pass = fnnet.trace({ network, loss }, params, array(x), array(t));
  const layers = [...pass.layers].map(([name, { x, y, dy, dx, grads }]) => [name, tree({ x, y, dy, dx, grads })]);
  const { value, perExample, outputs, doutputs, probabilities } = pass;
  const after = tree(fnnet.sgd(params, pass.grads, rate));
  return { layers, value, after, pass: tree({ perExample, outputs, doutputs, probabilities }) };
}"""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "any.html"
    model = fnnet.mlp((2, 3, 2))
    fnnet.export_page(model, fnnet.init(model, jax.random.key(0)), path)
    with started() as browser:
        opened = Opened(browser, path)
        yield opened.page
        opened.check_quiet()


def drawn(name):
    """(model, params that float32 can hold, x, targets, targets as (B, O))."""
    shape, layers, loss = CASES[name]
    model = fnnet.Model(fnnet.Serial(layers), LOSSES[loss], shape)
    draw = np.random.default_rng(len(name))
    shapes = jax.eval_shape(lambda: fnnet.init(model, jax.random.key(0)))
    params = jax.tree.map(lambda p: jnp.asarray(0.5 * draw.normal(size=p.shape).astype(np.float32), float), shapes)
    x = np.round(draw.normal(size=(4, *shape)), 1)  # rounded, so that pools meet equal entries
    t = draw.random((4, 3))
    if loss in ("softmax", "smoothed"):
        y = draw.integers(0, 3, 4).astype(np.int32)
        return model, params, x, y, np.eye(3)[y]
    return model, params, x, t, t


def sent(a):
    a = np.asarray(a, np.float64)
    return {"shape": list(a.shape), "data": a.ravel().tolist()}


def leaves_of(tree):
    """Arrays as JavaScript gave them, in the order of jax.tree.leaves."""
    if tree is None:
        return []
    if isinstance(tree, dict) and "data" in tree:
        return [np.array(tree["data"]).reshape(tree["shape"])]
    parts = tree.values() if isinstance(tree, dict) else tree
    return [leaf for part in parts for leaf in leaves_of(part)]


def check(found, wanted, what):
    wanted = [np.asarray(a) for a in jax.tree.leaves(wanted)]
    assert len(found) == len(wanted), what
    for a, b in zip(found, wanted, strict=True):
        assert a.shape == b.shape, what
        assert np.abs(a - b).max() <= TOLERANCE * np.abs(b).max(), what


@pytest.mark.parametrize("name", CASES)
def test_every_number_of_a_pass_and_a_step(page, name, float64):
    model, params, x, y, t = drawn(name)
    found = page.evaluate(RUN, [describe(model, params), sent(x), sent(t), RATE])
    wanted, predicted, after = jit_once(expected)(model, params, x, y)
    assert [each for each, _ in found["layers"]] == list(wanted.layers)
    for each, arrays in found["layers"]:
        layer = wanted.layers[each]
        for part in ("x", "y", "dy", "dx", "grads"):
            check(leaves_of(arrays[part]), getattr(layer, part), f"{each} {part}")
    result = wanted.result
    assert found["value"] == pytest.approx(float(result.value), rel=TOLERANCE)
    check(leaves_of(found["pass"]["perExample"]), result.per_example, "per_example")
    check(leaves_of(found["pass"]["outputs"]), result.outputs, "outputs")
    check(leaves_of(found["pass"]["doutputs"]), wanted.doutputs, "doutputs")
    check(leaves_of(found["pass"]["probabilities"]), predicted, "predict")
    check(leaves_of(found["after"]), after, "parameters after a step")


def expected(model, params, x, y):
    state = fnnet.init_state(model, fnnet.Sgd(RATE), jax.random.key(0))._replace(params=params)
    after, _ = fnnet.train_step(model, fnnet.Sgd(RATE), state, fnnet.Batch(x, y))
    return fnnet.trace(model, params, x, y), fnnet.predict(model, params, x), after.params
