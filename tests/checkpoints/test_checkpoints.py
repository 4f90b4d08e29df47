"""Checkpoints: the same bits back, whole files or none, and a clear refusal of everything else."""

import contextlib
import copy
import errno
import hashlib
import json
import math
import os
import random
import resource
import signal
import struct
import subprocess
import sys
import threading
import time
import tracemalloc
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors
import safetensors.numpy

import fnnet
import tests.checkpoints.checkpoint_children as children
from fnnet import Batch
from fnnet._spec import Number, spec, static
from fnnet.checkpoints import (
    CheckpointError,
    CheckpointManager,
    checkpoint,
    data_digest,
    documents,
    files,
    latest,
    restore,
    save,
)

DATA, MODEL = children.DATA, children.MODEL
OPTIMIZER = fnnet.Adam(fnnet.CosineDecay(0.01, 50))
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
CHILD = Path(children.__file__)


def fresh(model=MODEL, optimizer=OPTIMIZER, seed=0, dtype=jnp.float32, impl="threefry2x32"):
    """A state as `init_state` shapes it, of random positive numbers: nothing is compiled."""
    rng, key = np.random.default_rng(seed), jax.random.key(seed, impl=impl)
    shapes = jax.eval_shape(lambda: fnnet.init_state(model, optimizer, key, dtype))
    leaves = jax.tree.leaves(shapes._replace(key=()))
    drawn = [jnp.asarray(np.asarray(rng.uniform(0, 9, a.shape), a.dtype)) for a in leaves]
    return jax.tree.unflatten(jax.tree.structure(shapes), [*drawn, key])


def bits(tree):
    """Every array as bytes, keys included, in the tree's structure: equal only if the very same bits."""

    def one(a):
        if not hasattr(a, "dtype"):
            return struct.pack(">d", a)
        is_key = jnp.issubdtype(a.dtype, jax.dtypes.prng_key)
        return str(a.dtype), a.shape, np.asarray(jax.random.key_data(a) if is_key else a).tobytes()

    return jax.tree.structure(tree), [*map(one, jax.tree.leaves(tree))]


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """(path, content) of a checkpoint with every part."""
    path = tmp_path_factory.mktemp("small") / "small.safetensors"
    state = fresh()
    metrics = fnnet.Metrics(*(np.linspace(0, 1, 3, dtype=np.float32) for _ in range(3)))
    save(path, MODEL, OPTIMIZER, state, history=fnnet.History(metrics, None), data=DATA, score=0.5)
    return path, path.read_bytes()


# ------------------------------------------------------------------------------- the same bits back


EVERY_OPTIMIZER = [
    pytest.param(name, marks=() if name in children.some() else pytest.mark.slow) for name in children.everything()
]


@pytest.mark.parametrize("name", EVERY_OPTIMIZER)
def test_every_optimizer_goes_on_with_the_same_bits(name, tmp_path):
    optimizer = children.everything()[name]
    state, batch = fresh(optimizer=optimizer), Batch(*map(jnp.asarray, DATA[:2]))
    saved = restore(save(tmp_path / "last.safetensors", MODEL, optimizer, state), like=state)
    assert (saved.model, saved.optimizer) == (MODEL, optimizer)
    assert bits(saved[:3]) == bits((MODEL, optimizer, state))
    step = jax.jit(fnnet.train_step.__wrapped__, compiler_options=QUICK)
    compiled = step._cache_size()
    assert bits(step(*saved[:3], batch)) == bits(step(MODEL, optimizer, state, batch))
    assert step._cache_size() == compiled + 1, "a restored state costs a second compilation"


def child(command, folder, **settings):
    """A Python of its own; what a person waits for is compiled without optimisation."""
    flags = {"JAX_DEFAULT_MATMUL_PRECISION": "highest", "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(CHILD.parents[2])}
    if "everything" not in command:
        flags["XLA_FLAGS"] = " ".join(f"--{name}={str(value).lower()}" for name, value in QUICK.items())
    env = {**os.environ, **flags}
    return subprocess.Popen([sys.executable, str(CHILD), command, str(folder)], text=True, env=env, **settings)


def output(command, folder):
    process = child(command, folder, stdout=subprocess.PIPE)
    text, _ = process.communicate()
    assert process.returncode == 0
    return dict(line.split() for line in text.splitlines())


@pytest.mark.slow
@pytest.mark.parametrize("which", ["", "-everything"])
def test_a_new_process_goes_on_from_the_middle_of_an_epoch_with_the_same_bits(which, tmp_path):
    expected = output(f"never-stopping{which}", tmp_path)
    assert output(f"resuming{which}", tmp_path) == expected
    assert len(expected) == len(children.everything() if which else children.some())


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64"])
def test_every_dtype_comes_back(dtype, tmp_path):
    with jax.enable_x64(dtype == "float64"):
        state = fresh(dtype=dtype)
        measured = fnnet.Metrics(jnp.ones(2, dtype), None, jnp.arange(2, dtype=jnp.int32))
        history = fnnet.History(measured, measured)
        saved = restore(save(tmp_path / "a", MODEL, OPTIMIZER, state, history=history))
        assert bits(saved.state) == bits(state)
        assert bits(saved.history) == bits(history)
        assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(saved.history))
        assert not any(leaf.weak_type for leaf in jax.tree.leaves(saved.state._replace(key=saved.state.step)))
    if dtype == "float64":
        with pytest.raises(CheckpointError, match="jax_enable_x64"):
            restore(tmp_path / "a")


@pytest.mark.parametrize("impl", ["threefry2x32", "rbg"])
def test_keys_keep_their_algorithm(impl, tmp_path):
    state = fresh(impl=impl)
    saved = restore(save(tmp_path / "a", MODEL, OPTIMIZER, state))
    assert saved.state.key.dtype == state.key.dtype
    assert bits(saved.state) == bits(state)


def test_a_sweep_comes_back(tmp_path):
    rates = jnp.asarray([0.1, 0.01, 0.001], jnp.float32)
    optimizer = fnnet.Adam(rates)
    states = jax.tree.map(lambda *a: jnp.stack(a), *(fresh(optimizer=fnnet.Adam(0.1), seed=seed) for seed in range(3)))
    saved = restore(save(tmp_path / "a", MODEL, optimizer, states))
    assert bits(saved[:3]) == bits((MODEL, optimizer, states))
    with pytest.raises(CheckpointError, match=r"state.opt_state.t: expected int32 \(3,\), got int32 \(\)"):
        save(tmp_path / "b", MODEL, optimizer, states._replace(opt_state=fresh().opt_state))


class Pair(NamedTuple):
    first: Any
    second: Any


@spec
class Mine:
    """A layer of a user: a number, a static tuple, a list and a dict in its parameters."""

    scale: Number = 1.0
    names: Any = static(default=("a", ("b", 2, None, True)))

    def init(self, key, in_shape):
        return Pair({"a.b": jnp.ones(2), "a": {"b": jnp.zeros(())}}, [jnp.ones((2, 3), jnp.bfloat16)]), in_shape

    def forward(self, params, x, *, key=None):
        return x, None

    def backward(self, params, residuals, dy):
        return jax.tree.map(jnp.zeros_like, params), dy


MINE = fnnet.Model(fnnet.Serial((fnnet.Dense(3), Mine(2.5), fnnet.Residual(Mine()))), fnnet.SoftmaxCrossEntropy(), (3,))


def test_classes_of_the_user_come_back_when_they_are_given(tmp_path):
    state = fresh(MINE)
    path = save(tmp_path / "a", MINE, OPTIMIZER, state)
    saved = restore(path, types=(Mine, Pair))
    assert saved.model == MINE
    assert repr(saved.model) == repr(MINE)
    assert bits(saved.state) == bits(state)
    assert bits(restore(path, types=(Mine,)).state) == bits(state), "what the state is made of, the model says itself"
    for types in [(), (Pair,)]:
        with pytest.raises(CheckpointError, match=r"not a class of fnnet; if it is yours, pass it: restore\(.*types="):
            restore(path, types=types)


def through(value):
    arrays = {}
    node = json.loads(json.dumps(documents.encode(value, "x", arrays, documents.known_classes()), allow_nan=False))
    content = files.pack({"value": node}, arrays)
    tensors = {name: files._array(**tensor) for name, tensor in safetensors.deserialize(bytes(content))}
    decoded = documents.decode(node, tensors, documents.known_classes((Pair,)), lambda name, a: a)
    assert not tensors
    return decoded


NANS = [struct.unpack(">d", bytes.fromhex(text))[0] for text in ("7ff8000000000001", "fff8000000000000")]
NUMBERS = [0.0, -0.0, 0.1, 5e-324, 1.7976931348623157e308, math.inf, -math.inf, *NANS, 1 / 3]


@pytest.mark.parametrize("value", NUMBERS, ids=repr)
def test_floats_come_back_to_the_bit(value):
    assert struct.pack(">d", through(value)) == struct.pack(">d", value)


STATIC_VALUES = [
    None, True, False, 0, -1, 2**100, "", "é\n\"\ud800", (), (1, (2.5, ("x", None))), [], [1, [2]],
    {}, {"a": 1, 2: (3,)}, Pair(1, Pair(None, (2,))), fnnet.Static((28, 28)), fnnet.Dense(3, biases=None),
    fnnet.L2(fnnet.LinearSchedule(0, 1, 5)),
]  # fmt: skip


@pytest.mark.parametrize("value", STATIC_VALUES, ids=repr)
def test_values_come_back_with_their_types(value):
    assert repr(through(value)) == repr(value)
    assert type(through(value)) is type(value)


ARRAYS = [
    np.arange(6, dtype=np.float32).reshape(2, 3).T, np.asfortranarray(np.arange(6.0).reshape(2, 3)), np.arange(9)[::-2],
    np.zeros((0, 3), np.uint8), np.array(5, np.int8), np.float16(2), np.array([True, False]), np.arange(3, dtype=">f4"),
    np.array([1 + 2j], np.complex64), np.array([math.nan, -0.0, math.inf], np.float32), np.arange(3, dtype=np.uint64),
]  # fmt: skip


@pytest.mark.parametrize("a", ARRAYS, ids=lambda a: f"{a.dtype.str}{a.shape}")
def test_arrays_come_back_in_any_layout(a):
    b = through((a, a))[1]
    assert (b.dtype, b.shape) == (a.dtype.newbyteorder("="), a.shape)
    np.testing.assert_array_equal(b, a)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float8_e4m3fn, jnp.float8_e5m2], ids=lambda d: d.__name__)
def test_short_floats_come_back(dtype):
    a = jnp.asarray([0.5, -2, 0], dtype)
    b = through(a)
    assert b.dtype == a.dtype
    assert b.tobytes() == np.asarray(a).tobytes()


class Plain:
    pass


class Dense(NamedTuple):
    w: Any


UNSTORABLE = [
    (len, "builtin_function"), (Plain(), "Plain"), (Plain, "type"), (np.array(["a"]), "dtype <U1"), ({1, 2}, "set"),
    (np.array([1j]), "complex128"), (np.array([None]), "dtype object"), (b"x", "bytes"), (Dense(1), "also the name"),
    (fnnet.Static(np.float32), "type"), (jnp.zeros(2, jnp.int4), "int4"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "says"), UNSTORABLE, ids=lambda v: str(v)[:20])
def test_what_cannot_be_stored_is_refused_with_its_place(value, says):
    with pytest.raises(CheckpointError, match=rf"^x\[1\].*{says}"):
        documents.encode((0, value), "x", {}, documents.known_classes())


def test_an_array_has_no_place_in_a_static_field():
    with pytest.raises(CheckpointError, match=r"x\.names\[0\].*static field"):
        documents.encode(Mine(names=(np.ones(2),)), "x", {}, {})


# ------------------------------------------------------------------------------------- the file


def test_the_same_content_gives_the_same_bytes_in_a_file_that_others_open(small, tmp_path):
    path, content = small
    saved = restore(path)
    again = save(
        tmp_path / "again", saved.model, saved.optimizer, saved.state, history=saved.history, data=DATA, score=0.5
    )
    assert again.read_bytes() == content
    tensors = safetensors.numpy.load_file(path)
    np.testing.assert_array_equal(tensors["state.params[0].w"], fresh().params[0].w)
    assert len(tensors) == len(jax.tree.leaves((saved.state, saved.history)))
    assert b"pickle" not in content
    assert saved.score == 0.5
    assert saved.versions["jax"] == jax.__version__


def test_the_data_is_compared_on_request(small):
    path, _ = small
    assert restore(path, data=DATA).data_digest == data_digest(DATA) == data_digest(jax.tree.map(jnp.asarray, DATA))
    assert restore(path, data=data_digest(DATA))
    flipped = DATA.x.copy()
    flipped[7, 1] = -flipped[7, 1]
    for other in [DATA._replace(x=flipped), DATA._replace(x=DATA.x.T.copy().reshape(23, 3)), Batch(*DATA[:2], DATA.y)]:
        with pytest.raises(CheckpointError, match="saved with other data: its SHA-256"):
            restore(path, data=other)


def test_data_that_was_not_saved_cannot_be_compared(tmp_path):
    path = save(tmp_path / "a", MODEL, OPTIMIZER, fresh())
    with pytest.raises(CheckpointError, match="saved without data="):
        restore(path, data=DATA)


def test_a_large_data_set_is_digested_in_parts_that_do_not_show():
    x = np.arange(3_000_000, dtype=np.float32).reshape(1000, 3000)
    digests = {data_digest(Batch(a, np.arange(1000))) for a in (x, np.asfortranarray(x), np.repeat(x, 2, 0)[::2])}
    assert len(digests) == 1


def test_a_digest_sees_dtypes_shapes_and_every_row():
    x, y = np.arange(600_000, dtype=np.float32).reshape(200_000, 3), np.zeros(200_000, np.int32)
    last = x.copy()
    last[-1, -1] += 1
    others = [x, x.view(np.int32), x.reshape(3, 200_000), x.reshape(200_000, 3, 1), last]
    assert len({data_digest(Batch(other, y)) for other in others}) == len(others)


def test_arrays_that_come_back_can_not_be_written_to(tmp_path):
    optimizer = fnnet.Adam(jnp.asarray([0.1, 0.01]))
    states = jax.tree.map(lambda *a: jnp.stack(a), *(fresh(optimizer=fnnet.Adam(0.1), seed=seed) for seed in range(2)))
    curve = np.arange(3.0)
    history = fnnet.History(fnnet.Metrics(curve, None, curve), None)
    saved = restore(save(tmp_path / "a", MODEL, optimizer, states, history=history))
    for array in (saved.optimizer.learning_rate, *jax.tree.leaves(saved.history)):
        assert isinstance(array, np.ndarray)
        assert not array.flags.writeable


def test_a_digest_is_a_digest(tmp_path):
    with pytest.raises(ValueError, match="SHA-256 from data_digest"):
        save(tmp_path / "a", MODEL, OPTIMIZER, fresh(), data="mnist")


# ------------------------------------------------------------------------------ what does not fit


class Moments(NamedTuple):
    t: Any
    m: Any
    v: Any


@pytest.mark.usefixtures("untyped")
def test_a_state_of_another_model_is_refused_before_anything_is_written(tmp_path):
    path = save(tmp_path / "a", MODEL, OPTIMIZER, fresh())
    before, state = path.read_bytes(), fresh()
    wrong = [
        (fnnet.mlp((3, 6, 2), dropout=0.2), OPTIMIZER, state, r"params\[0\].w: expected float32 \(3, 6\), got float32"),
        (fnnet.mlp((3, 5, 5, 2)), OPTIMIZER, state, "another structure.*missing.*params"),
        (MODEL, fnnet.Sgd(0.1), state, "another structure.*not expected.*opt_state.m"),
        (MODEL, OPTIMIZER, state._replace(step=jnp.float32(0)), r"state.step: expected int32 \(\), got float32"),
        (MODEL, OPTIMIZER, state._replace(step=0), r"state.step: expected int32 \(\), got int \(\)"),
        (MODEL, OPTIMIZER, state._replace(key=jnp.zeros(2, jnp.uint32)), "typed key"),
        (MODEL, OPTIMIZER, state.params, "state: expected a TrainState with its params inside, got tuple"),
        (MODEL, "adam", state, "optimizer: expected a spec"),
        (
            MODEL,
            OPTIMIZER,
            state._replace(opt_state=Moments(*state.opt_state)),
            "another structure.*AdamState.*Moments",
        ),
    ]
    for model, optimizer, other, says in wrong:
        with pytest.raises(CheckpointError, match=says):
            save(path, model, optimizer, other)
        assert path.read_bytes() == before
    assert [*tmp_path.iterdir()] == [path]


def test_a_checkpoint_that_is_not_like_what_is_expected_is_refused(small):
    path, _ = small
    assert restore(path, like=fresh(seed=5))
    for like, says in [
        (fresh(fnnet.mlp((3, 6, 2), dropout=0.2)), r"expected float32 \(3, 6\), got float32 \(3, 5\)"),
        (fresh(dtype=jnp.bfloat16), r"params\[0\].w: expected bfloat16 \(3, 5\), got float32"),
        (fresh(optimizer=fnnet.Sgd(0.1)), "another structure"),
    ]:
        with pytest.raises(CheckpointError, match=says):
            restore(path, like=like)


def test_no_two_classes_of_fnnet_that_a_checkpoint_may_hold_share_a_name():
    public = [getattr(room, name) for room in documents._ROOMS for name in room.__all__]
    states = [documents.classes_in(fresh(optimizer=optimizer)) for optimizer in children.everything().values()]
    classes = {c for c in public if isinstance(c, type) and documents.field_names(c)}
    classes |= {c for found in states for c in found.values()}
    names = [c.__name__ for c in classes]
    assert len(names) == len({*names}) > 60
    assert {"Dense", "Adam", "Model", "TrainState", "AverageState", "Columns", "Vocabulary"} <= {*names}


def test_classes_are_known_by_what_fnnet_exports_not_by_what_happens_to_be_imported(monkeypatch):
    fake = type(sys)("fnnet.extra")
    fake.Sneaky = type("Sneaky", (tuple,), {"_fields": (), "__module__": "fnnet.extra"})
    monkeypatch.setitem(sys.modules, "fnnet.extra", fake)
    assert "Sneaky" not in documents.known_classes()
    assert "_Run" not in documents.known_classes()


class AdamState(NamedTuple):
    t: Any


@spec
class Counter:
    """A user's layer whose parameters are called as the state of an optimizer is."""

    def init(self, key, in_shape):
        return AdamState(jnp.zeros(())), in_shape

    def forward(self, params, x, *, key=None):
        return x, None

    def backward(self, params, residuals, dy):
        return jax.tree.map(jnp.zeros_like, params), dy


def test_two_classes_of_one_name_in_a_state_are_refused_before_anything_is_written(tmp_path):
    model = fnnet.Model(fnnet.Serial((fnnet.Dense(2), Counter())), fnnet.SoftmaxCrossEntropy(), (3,))
    with pytest.raises(CheckpointError, match="AdamState is also the name of"):
        save(tmp_path / "a", model, OPTIMIZER, fresh(model))
    assert not (tmp_path / "a").exists()


def test_a_tables_columns_come_back(tmp_path):
    columns = fnnet.datasets.Columns(("a", "b"), ("c",), (("b", ("x", "y")),))
    assert restore(save(tmp_path / "a", MODEL, OPTIMIZER, fresh(), columns=columns)).columns == columns
    assert restore(save(tmp_path / "a", MODEL, OPTIMIZER, fresh())).columns is None


@pytest.mark.usefixtures("untyped")
def test_other_columns_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"columns: expected Columns .*got \['a'\]"):
        save(tmp_path / "a", MODEL, OPTIMIZER, fresh(), columns=["a"])


ODD = "\0\t\n\r\"'\\ab\x85\u00e9\u00df\u2028\ufeff\uffff\N{SNOWMAN}\N{GRINNING FACE}\U0010ffff"


@pytest.mark.parametrize("text", ["banana", ODD])
def test_a_texts_vocabulary_comes_back(tmp_path, text):
    vocabulary = fnnet.datasets.Vocabulary.of(text)
    found = restore(save(tmp_path / "a", MODEL, OPTIMIZER, fresh(), vocabulary=vocabulary)).vocabulary
    assert found == vocabulary
    assert found.decode(found.encode(text)) == text
    assert restore(save(tmp_path / "a", MODEL, OPTIMIZER, fresh())).vocabulary is None
    with CheckpointManager(tmp_path / "run") as manager:
        assert restore(manager.save(MODEL, OPTIMIZER, fresh(), vocabulary=vocabulary)).vocabulary == vocabulary


@pytest.mark.usefixtures("untyped")
def test_another_vocabulary_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"vocabulary: expected the Vocabulary .*got 'ab'"):
        save(tmp_path / "a", MODEL, OPTIMIZER, fresh(), vocabulary="ab")


def test_a_vocabulary_that_is_out_of_order_is_refused(tmp_path):
    vocabulary = fnnet.datasets.Vocabulary("ab")
    path = save(tmp_path / "a", MODEL, OPTIMIZER, fresh(), vocabulary=vocabulary)
    document, arrays = files.unpack(path)
    document["vocabulary"]["fields"]["characters"] = "ba"
    files.write(path, files.pack(document, arrays))
    with pytest.raises(CheckpointError, match="Vocabulary: expected one character or more, sorted"):
        restore(path)


def renamed(name, fields):
    """A spec called `name` with other fields."""
    namespace = {**{f: 1.0 for f in fields}, "__annotations__": dict.fromkeys(fields, Any)}
    return spec(type(name, (), namespace))


def test_a_class_whose_fields_changed_is_refused_with_what_differs(tmp_path):
    path = save(tmp_path / "a", MINE, OPTIMIZER, fresh(MINE))
    newer = renamed("Mine", ("scale", "offset"))
    with pytest.raises(CheckpointError, match=r"Mine has other fields.*only in the file \['names'\].*\['offset'\]"):
        restore(path, types=(newer, Pair))


def test_types_are_classes_of_their_own_name(small, untyped):
    path, _ = small
    for types in [(Plain,), (Mine(),), ("Mine",)]:
        with pytest.raises(TypeError, match="expected specs or NamedTuples"):
            restore(path, types=types)
    with pytest.raises(TypeError, match=r"expected a tuple of classes, .*; write types=\(Plain,\)"):
        restore(path, types=Plain)
    for types in [(Dense,), (Pair, renamed("Pair", ("a",)))]:
        with pytest.raises(ValueError, match="two classes called"):
            restore(path, types=types)


def test_a_setting_out_of_range_is_refused(small, tmp_path):
    path = rewritten(tmp_path, small[1], lambda document: fields(document["optimizer"]).update(beta1=1.5))
    with pytest.raises(CheckpointError, match="beta1"):
        restore(path)


def test_a_newer_format_is_refused(small, tmp_path):
    path = rewritten(tmp_path, small[1], lambda document: document.update(format=2))
    with pytest.raises(CheckpointError, match="expected format 1, got 2; update fnnet"):
        restore(path)


def test_a_format_that_is_true_is_not_1(small, tmp_path):
    with pytest.raises(CheckpointError, match="expected format 1, got True"):
        restore(rewritten(tmp_path, small[1], lambda document: document.update(format=True)))


def test_a_negative_step_is_refused(small, tmp_path):
    negative = fresh()._replace(step=jnp.int32(-5))
    with pytest.raises(CheckpointError, match=r"state\.step: expected a count of updates, 0 or more, got -5"):
        save(tmp_path / "a", MODEL, OPTIMIZER, negative)
    header, payload = header_of(small[1])
    start, end = header["state.step"]["data_offsets"]
    path = tmp_path / "crafted"
    path.write_bytes(sealed(header, payload[:start] + struct.pack("<i", -5) + payload[end:]))
    with pytest.raises(CheckpointError, match=r"state\.step: expected a count of updates, 0 or more, got -5"):
        restore(path)


def test_a_diverged_run_comes_back_as_it_is(tmp_path):
    state = jax.tree.map(lambda a: a, fresh())
    state = state._replace(params=jax.tree.map(lambda a: jnp.full_like(a, jnp.nan), state.params))
    assert bits(restore(save(tmp_path / "a", MODEL, OPTIMIZER, state)).state) == bits(state)


def test_a_model_nested_too_deeply_is_refused_in_words(tmp_path):
    network = fnnet.Dense(2)
    for _ in range(400):
        network = fnnet.Serial((network,))
    says = r"a: .*nested too deeply.*into one Serial; not saved"
    with pytest.raises(CheckpointError, match=says), checkpoint.refusals(tmp_path / "a", "not saved"):
        documents.encode(network, "model", {}, documents.known_classes())


def test_no_file_a_folder_and_somebody_elses_file_are_refused(tmp_path):
    other, pipe = tmp_path / "other", tmp_path / "pipe"
    safetensors.numpy.save_file({"a": np.zeros(100)}, other, {"format": "pt"})
    os.mkfifo(pipe)
    cases = [(tmp_path / "none", "No such file"), (tmp_path, "expected a file"), (pipe, "expected a file"),
             (Path("/dev/zero"), "expected a file"), (other, "not a checkpoint of fnnet")]  # fmt: skip
    for path, says in cases:
        with pytest.raises(CheckpointError, match=f"^{path}.*{says}"):
            restore(path)


# ------------------------------------------------------------------------- damaged and malformed


def refuses(path, content):
    path.write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        restore(path)
    assert str(caught.value).startswith(str(path))
    return str(caught.value)


@pytest.mark.parametrize("count", [100, pytest.param(5000, marks=pytest.mark.slow)])
def test_flipped_bits_are_refused(count, small, tmp_path):
    content, rng = small[1], random.Random(0)
    for _ in range(count):
        flipped = bytearray(content)
        flipped[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        refuses(tmp_path / "a", flipped)


@pytest.mark.parametrize("step", [13, pytest.param(1, marks=pytest.mark.slow)])
def test_every_truncation_and_anything_behind_are_refused(step, small, tmp_path):
    content, path = small[1], tmp_path / "a"
    path.write_bytes(content)
    for size in reversed(range(0, len(content), step)):
        os.truncate(path, size)
        with pytest.raises(CheckpointError):
            restore(path)
    for more in [b"\0", b" " * 8, content]:
        assert "announced" in refuses(path, content + more)


def header_of(content):
    """The header as an object, and the payload."""
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def sealed(header, payload):
    """A file with this header, text or object, and a right digest: only its meaning can be wrong."""
    text = header if isinstance(header, str) else json.dumps(header, separators=(",", ":"), ensure_ascii=False)
    raw = text.encode(errors="surrogatepass")
    content = bytearray(len(raw).to_bytes(8, "little") + raw + payload)
    if len(content) >= files._DIGEST.stop:
        content[files._DIGEST] = b"0" * 64
        content[files._DIGEST] = hashlib.sha256(content).hexdigest().encode()
    return content


def with_document(content, edit):
    header, payload = header_of(content)
    document = json.loads(header["__metadata__"]["fnnet"])
    document["sha256"] = "0" * 64
    edit(document)
    header["__metadata__"]["fnnet"] = json.dumps(document, separators=(",", ":"))
    return sealed(header, payload)


def rewritten(folder, content, edit):
    path = folder / "rewritten"
    path.write_bytes(with_document(content, edit))
    return path


def fields(node):
    return node["fields"]


def test_sealing_is_what_saving_does(small):
    """Or the tests below would test nothing."""
    _, payload = header_of(small[1])
    length = int.from_bytes(small[1][:8], "little")
    header = small[1][8 : 8 + length].decode()
    assert sealed(header, payload) == small[1]
    unpadded = header.rstrip()  # safetensors pads the header to a multiple of 8 bytes
    assert with_document(small[1], lambda document: None) == sealed(unpadded, payload)


def random_size(content, rng):
    size = rng.choice([rng.getrandbits(64), rng.getrandbits(rng.randrange(1, 64)), rng.randrange(len(content) + 9)])
    changed = bytearray(content)
    changed[:8] = (size + (size == int.from_bytes(content[:8], "little"))).to_bytes(8, "little")
    return changed


def random_text(content, rng):
    """JSON cut, doubled, salted or replaced, under a right digest where there is room for one."""
    header, payload = header_of(content)
    text = json.dumps(header, separators=(",", ":"))
    at = rng.randrange(files._DIGEST.stop - 8, len(text))
    return sealed(rng.choice([
        text[:at], text[:at] + text[at + 1 + rng.randrange(9) :] + "}", text[:at] + '"' + text[at:],
        text[:-1] + ',"x":' + "[" * rng.choice([1, 100_000]), text + text, text[:at] + "\x00\udc80" + text[at:],
        text[:-1] + ',"x":' + "9" * 5000 + "}", "[]", "", "{" * rng.randrange(1, 1000), text.replace(":", ":NaN,", 7),
        text[:-1] + ',"state.step":' + json.dumps(header["state.step"]) + "}",
        rng.randbytes(rng.randrange(1, 3000)).decode("latin-1"), text.replace('"__meta', '"__Meta'),
    ]), payload)  # fmt: skip


def random_tensor(content, rng):
    """One thing wrong with one tensor's entry, or with the list of them."""
    header, payload = header_of(content)
    name = rng.choice([n for n in header if n.startswith("state")])
    entry = header[name]
    start, end = entry["data_offsets"]
    edits = [
        lambda: header.pop(name), lambda: header.update({name + "x": header.pop(name)}),
        lambda: entry.update(dtype=rng.choice(["U8", "F64", "Q7", "BF16", "F4", None, 3, ["F32"]])),
        lambda: entry.update(shape=rng.choice([[2**40, 2**40], [-1], [0], [2**64], "x", None, [1.5], [[]],
                                               [*entry["shape"], 2], [rng.randrange(10**6) + 100]])),
        lambda: entry.update(data_offsets=rng.choice([[start + 1, end], [start, end + rng.randrange(1, 2**40)],
                                                      [end, start - 1], [0], [], None, [-1, 3], ["a"], [0, 2**64]])),
        lambda: entry.update(extra=1), lambda: entry.pop(rng.choice([*entry])), lambda: header.update({name: 7}),
        lambda: header.update(more={"dtype": "U8", "shape": [0], "data_offsets": [end, end]}),
        lambda: header["__metadata__"].update(second="x"), lambda: header["__metadata__"].update(fnnet=3),
    ]  # fmt: skip
    rng.choice(edits)()
    return sealed(header, payload + bytes(rng.choice([0, 0, 1])))


def places(node, here=()):
    """Paths to every node of a document, but those where anything goes."""
    yield here
    if here != ("versions",) and isinstance(node, dict | list):
        for key, part in node.items() if isinstance(node, dict) else enumerate(node):
            yield from places(part, (*here, key))


def random_document(content, rng):
    """One node of another kind, one key more, or one less."""

    def edit(document):
        *above, last = rng.choice([p for p in places(document) if p and p[0] != "sha256"])
        parent = document
        for key in above:
            parent = parent[key]
        deep = json.loads("[" * 900 + "]" * 900)
        wrong = [
            "x", "state.step", {}, True, deep, {"array": "none"}, {"array": ["x"]}, {"array": "state.step"},
            {"class": "Nope", "fields": {}}, {"class": "Dense"}, {"class": "TrainState", "fields": {}},
            {"key": "state.key", "impl": "x"}, {"float": "00"}, {"dict": [[[], 1], 2]}, {"list": [], "x": 1},
        ]  # fmt: skip
        change = rng.randrange(4)
        if change == 0 and isinstance(parent, dict):
            del parent[last]
        elif change == 1 and isinstance(parent, dict):
            parent["x"] = rng.choice(wrong)
        else:
            parent[last] = rng.choice([w for w in wrong if w != parent[last]])

    return with_document(content, edit)


@pytest.mark.parametrize("malformed", [random_size, random_text, random_tensor, random_document])
@pytest.mark.parametrize("count", [25, pytest.param(1250, marks=pytest.mark.slow)])
def test_malformed_headers_are_refused(count, malformed, small, tmp_path):
    rng, before = random.Random(count), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(count):
        refuses(tmp_path / "a", malformed(small[1], rng))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KiB


def test_memory_is_bounded_by_what_is_there(small, tmp_path):
    """A file that claims to be huge, or is (without blocks on the disk), is refused without reading it."""
    content, path = small[1], tmp_path / "a"
    header, payload = header_of(content)
    restore(small[0])
    for size in [2**20, 10**8, 2**40, 2**63, 2**64 - 1]:
        claims = copy.deepcopy(header)
        claims["state.step"].update(shape=[size], dtype="U8", data_offsets=[0, size])
        files_ = [size.to_bytes(8, "little") + content[8:], sealed(claims, payload)]
        tracemalloc.start()
        for file in files_:
            refuses(path, file)
        with contextlib.suppress(OSError):  # a file system without room for the claim
            os.truncate(path, 2**38)
        with pytest.raises(CheckpointError):
            restore(path)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 2**20


# -------------------------------------------------------------------------- disks and processes


def fails_with(number):
    def fail(*args, **kwargs):
        raise OSError(number, os.strerror(number))

    return fail


SAVED_AS_IT_WAS = "not saved; an earlier checkpoint there is as it was"
CALLS = ["write", "fsync", "replace", "open", "ftruncate"]


NUMBERS = [errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EIO]
REFUSALS = [  # every call, and every reason; the other pairs are slow
    pytest.param(number, call, marks=() if number == errno.ENOSPC or call == "write" else pytest.mark.slow)
    for number in NUMBERS
    for call in CALLS
]


@pytest.mark.parametrize(("number", "call"), REFUSALS, ids=lambda value: errno.errorcode.get(value, value))
def test_a_disk_that_refuses_leaves_the_earlier_checkpoint_whole(call, number, tmp_path, monkeypatch):
    path = save(tmp_path / "a", MODEL, OPTIMIZER, fresh())
    before = path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(files.os, call, fails_with(number))
        with pytest.raises(CheckpointError, match=f"^{path}: {os.strerror(number)}; {SAVED_AS_IT_WAS}"):
            save(path, MODEL, OPTIMIZER, fresh(seed=1))
    assert path.read_bytes() == before
    assert [*tmp_path.iterdir()] == [path]
    assert bits(restore(save(path, MODEL, OPTIMIZER, fresh(seed=1))).state) == bits(fresh(seed=1))


def test_a_file_size_limit_leaves_the_earlier_checkpoint_whole(tmp_path):
    """The kernel's own refusal, in the middle of the content: what it also does on a full disk."""
    path = save(tmp_path / "a", MODEL, OPTIMIZER, fresh())
    before, limits = path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(CheckpointError, match="File too large; not saved"):
            save(path, MODEL, OPTIMIZER, fresh(seed=1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before
    assert [*tmp_path.iterdir()] == [path]


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes into read-only folders; EACCES is simulated above")
def test_a_read_only_folder_leaves_the_earlier_checkpoint_whole(tmp_path):
    path = save(tmp_path / "a", MODEL, OPTIMIZER, fresh())
    before = path.read_bytes()
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(CheckpointError, match="Permission denied; not saved"):
            save(path, MODEL, OPTIMIZER, fresh(seed=1))
    finally:
        tmp_path.chmod(0o700)
    assert path.read_bytes() == before


def test_a_folder_that_cannot_be_forced_to_the_disk_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_sync", fails_with(errno.EIO))
    with pytest.raises(CheckpointError, match="saved, but Input/output error for the folder"):
        save(tmp_path / "a", MODEL, OPTIMIZER, fresh())


@pytest.mark.parametrize("link", ["symlink", "link"])
@pytest.mark.parametrize("name", ["a.tmp", ".lock"])
def test_nothing_is_written_through_a_link(link, name, tmp_path):
    victim, folder = tmp_path / "victim", tmp_path / "run"
    victim.write_text("precious")
    folder.mkdir()
    getattr(os, link)(victim, folder / name)
    write = (
        partial(save, folder / "a", MODEL, OPTIMIZER, fresh())
        if name == "a.tmp"
        else CheckpointManager(folder).__enter__
    )
    with pytest.raises(CheckpointError, match=f"{name} is a link, or not an ordinary file: .*; delete it"):
        write()
    assert victim.read_text() == "precious"
    assert [f.name for f in folder.iterdir()] == [name]


def test_a_pipe_at_the_temporary_name_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "a.tmp")
    with pytest.raises(CheckpointError, match=r"a\.tmp is a link, or not an ordinary file"):
        save(tmp_path / "a", MODEL, OPTIMIZER, fresh())


def test_what_a_killed_process_left_is_written_over(tmp_path):
    (tmp_path / "a.tmp").write_bytes(b"x" * 100_000)
    assert restore(save(tmp_path / "a", MODEL, OPTIMIZER, fresh()))
    assert [f.name for f in tmp_path.iterdir()] == ["a"]


def test_everything_is_on_the_disk_before_the_name_is_taken(tmp_path, monkeypatch):
    """Content, then name, then folder, each forced to the disk; new folders too."""
    done = []
    for call in ("fsync", "replace"):
        original = getattr(os, call)

        def noted(*args, call=call, original=original):
            done.append((call, args[0] if call == "replace" else os.readlink(f"/proc/self/fd/{args[0]}")))
            original(*args)

        monkeypatch.setattr(files.os, call, noted)
    path = tmp_path / "new" / "run" / "a"
    save(path, MODEL, OPTIMIZER, fresh())
    temporary = path.with_name("a.tmp")
    assert sorted(map(str, dict(done[:2]).values())) <= sorted([str(tmp_path), str(tmp_path / "new")])
    assert done[2:] == [("fsync", str(temporary)), ("replace", temporary), ("fsync", str(path.parent))]


@pytest.mark.slow
def test_two_that_save_to_one_path_at_once_never_damage_it(tmp_path):
    path, states = tmp_path / "a", [fresh(seed=seed) for seed in range(2)]
    save(path, MODEL, OPTIMIZER, states[0])
    refused, whole = [], {bits(state)[1][0] for state in states}

    def often(state):
        for _ in range(8):
            try:
                save(path, MODEL, OPTIMIZER, state)
            except CheckpointError as error:
                refused.append(str(error))

    threads = [threading.Thread(target=often, args=(state,)) for state in states]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert bits(restore(path).state)[1][0] in whole
    assert all("another process is saving" in text for text in refused)
    assert len(refused) < 16


HOLDS = "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.flock(f, fcntl.LOCK_EX); print(1, flush=True); input()"


def test_a_second_process_writing_to_the_same_run_is_told(tmp_path):
    with CheckpointManager(tmp_path) as manager:
        path = manager.save(MODEL, OPTIMIZER, fresh())
        with (
            pytest.raises(CheckpointError, match="another process is writing to this run"),
            CheckpointManager(tmp_path),
        ):
            pass
    before = path.read_bytes()
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(tmp_path / ".lock")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with holder:
        holder.stdout.readline()
        with (
            pytest.raises(CheckpointError, match="another process is writing to this run"),
            CheckpointManager(tmp_path),
        ):
            pass
        holder.kill()
    assert path.read_bytes() == before
    with CheckpointManager(tmp_path) as manager:  # the lock went with the process
        assert manager.save(MODEL, OPTIMIZER, fresh()) == path


@pytest.mark.parametrize("kills", [6, pytest.param(60, marks=pytest.mark.slow)])
def test_killed_at_random_moments_the_last_checkpoint_is_whole_and_new(kills, tmp_path):
    rng, announced = random.Random(kills), 0
    with child("saver", tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdout.readline() == "ready\n"
        for _ in range(kills):
            server.stdin.write("go\n")
            server.stdin.flush()
            lines = [server.stdout.readline(), server.stdout.readline()]  # who, and its first save, in any order
            (pid,) = (int(line.split()[1]) for line in lines if line.startswith("pid"))
            time.sleep(rng.uniform(0, 0.1))
            os.kill(pid, signal.SIGKILL)
            while (line := server.stdout.readline()) != "dead\n":
                lines.append(line)
            announced = max(int(line.split()[1]) for line in lines if line.startswith("saved"))
            saved = restore(latest(tmp_path))
            assert int(saved.state.step) in (announced, announced + 1)
            assert (np.asarray(saved.state.params.w) == int(saved.state.step)).all()
        server.stdin.close()
    assert announced >= kills
    assert len([*tmp_path.glob("step-*.safetensors")]) in (2, 3)


# ------------------------------------------------------------------------------------ a run's folder


def at(step):
    return fresh()._replace(step=jnp.asarray(step, jnp.int32))


def names(folder):
    return sorted(f.name for f in folder.glob("*.safetensors"))


def test_a_folder_keeps_the_last_and_the_best(tmp_path):
    folder = tmp_path / "runs" / "one"
    assert latest(folder) is None
    scores = {1: 0.1, 2: math.nan, 3: 0.9, 4: None, 5: 0.9, 6: 0.2, 12: 0.3}
    with CheckpointManager(folder, last=2) as manager:
        for step, score in scores.items():
            path = manager.save(MODEL, OPTIMIZER, at(step), score=score, data=DATA)
            assert latest(folder) == path
    assert names(folder) == ["best.safetensors", "step-0000000006.safetensors", "step-0000000012.safetensors"]
    assert restore(folder / "best.safetensors").state.step == 3
    with CheckpointManager(folder, last=2) as manager:  # a new process knows what was best
        manager.save(MODEL, OPTIMIZER, at(13), score=0.8)
        assert restore(folder / "best.safetensors").score == 0.9
        manager.save(MODEL, OPTIMIZER, at(13), score=1)
        assert restore(folder / "best.safetensors").state.step == 13


def test_a_score_of_nan_is_never_the_best(tmp_path):
    with CheckpointManager(tmp_path) as manager:
        manager.save(MODEL, OPTIMIZER, at(1), score=math.nan)
    assert names(tmp_path) == ["step-0000000001.safetensors"]


def test_what_was_killed_while_it_was_written_is_no_checkpoint(tmp_path):
    with CheckpointManager(tmp_path, last=1) as manager:
        path = manager.save(MODEL, OPTIMIZER, at(5))
        left = path.with_name("step-0000000099.safetensors.tmp")
        left.write_bytes(b"half")
        assert latest(tmp_path) == path
        assert manager.save(MODEL, OPTIMIZER, at(6)) == latest(tmp_path)
    assert left.exists()


def test_a_sweep_is_saved_under_the_step_of_the_run_that_is_furthest(tmp_path):
    states = jax.tree.map(lambda *a: jnp.stack(a), *(at(step) for step in (1, 5, 2)))
    with CheckpointManager(tmp_path) as manager:
        path = manager.save(MODEL, OPTIMIZER, states)
    assert path.name == "step-0000000005.safetensors"


def test_a_folder_with_a_later_step_is_another_run(tmp_path):
    with CheckpointManager(tmp_path) as manager:
        manager.save(MODEL, OPTIMIZER, at(5))
        with pytest.raises(CheckpointError, match="holds step 5 already; resume from that"):
            manager.save(MODEL, OPTIMIZER, at(4))
    assert names(tmp_path) == ["step-0000000005.safetensors"]


def test_a_damaged_best_is_set_aside_and_the_run_goes_on(tmp_path):
    best = tmp_path / "best.safetensors"
    with CheckpointManager(tmp_path) as manager:
        manager.save(MODEL, OPTIMIZER, at(5), score=1.0)
        best.write_bytes(b"x" * 1000)
        with pytest.warns(UserWarning, match=r"best\.safetensors: not a.*kept as best\.safetensors\.damaged"):
            manager.save(MODEL, OPTIMIZER, at(6), score=0.5)
        assert restore(best).score == 0.5
        manager.save(MODEL, OPTIMIZER, at(7), score=0.4)
    assert restore(best).state.step == 6
    assert (tmp_path / "best.safetensors.damaged").read_bytes() == b"x" * 1000
    assert restore(latest(tmp_path)).state.step == 7


def test_a_best_that_the_disk_does_not_give_is_an_error(tmp_path):
    with CheckpointManager(tmp_path) as manager:
        manager.save(MODEL, OPTIMIZER, at(5), score=1.0)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(files.os, "fstat", fails_with(errno.EIO))
            with pytest.raises(CheckpointError, match="Input/output error"):
                manager.save(MODEL, OPTIMIZER, at(6), score=2.0)
        assert restore(tmp_path / "best.safetensors").score == 1.0


def test_older_ones_go_only_after_the_new_one_is_there(tmp_path, monkeypatch):
    with CheckpointManager(tmp_path, last=1) as manager:
        manager.save(MODEL, OPTIMIZER, at(5))
        with monkeypatch.context() as patch:
            patch.setattr(files.os, "fsync", fails_with(errno.ENOSPC))
            with pytest.raises(CheckpointError, match="No space left on device; not saved; earlier checkpoints are"):
                manager.save(MODEL, OPTIMIZER, at(6))
        assert names(tmp_path) == ["step-0000000005.safetensors"]
        manager.save(MODEL, OPTIMIZER, at(6))
    assert names(tmp_path) == ["step-0000000006.safetensors"]


def test_a_folder_keeps_at_least_one(tmp_path):
    with pytest.raises(ValueError, match="last 1 or more"), CheckpointManager(tmp_path, last=0):
        pass
