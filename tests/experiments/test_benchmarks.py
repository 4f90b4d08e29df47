"""Systems that are timed side by side train the same network; slopes, floors, tricks and the report are right."""

import builtins
import dis
import importlib
import pkgutil
import platform
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import experiments
import fnnet
from experiments.benchmarks import (
    closest,
    convolutions,
    floor,
    growth,
    report,
    results,
    sequences,
    serving,
    systems,
    task,
    tricks,
)  # fmt: skip
from experiments.benchmarks.peers import fnnet_train, numpy_loop
from experiments.processor import lacks_bfloat16, processor


def test_numpy_and_fnnet_take_the_same_steps_on_xor():
    x = task.xor().x
    ours, theirs = fnnet_train.xor(task.xor()), numpy_loop.xor(task.xor())
    np.testing.assert_allclose(ours.predict(x), theirs.predict(x), rtol=1e-6)
    before = theirs.predict(x)
    for trainer in (ours, theirs):
        trainer.train(50)
    np.testing.assert_allclose(ours.predict(x), theirs.predict(x), rtol=1e-4)
    assert np.abs(theirs.predict(x) - before).max() > 1e-3


def test_numpy_and_fnnet_take_the_same_steps_in_a_full_batch():
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (20, 6)).astype(np.uint8), rng.integers(0, 3, 20).astype(np.int32)
    job = task.Task(task.initial_weights((6, 5, 3)), x, y, 20, 0.05, decay_steps=40)
    answers = []
    for system in (fnnet_train, numpy_loop):
        trainer = system.mnist(job)
        trainer.train(30)
        answers.append(trainer.predict(x))
    np.testing.assert_array_equal(*answers)
    assert (answers[0] == y).mean() > 0.6


def test_flops_of_the_floor_count_every_product():
    assert floor.flops((3, 4, 5), 10) == 10 * 2 * (2 * 12 + 3 * 20)


@pytest.mark.parametrize("power", [0.0, 1.0, 2.0])
def test_a_slope_is_the_power(power):
    at = [1, 2, 4, 8, 16]
    assert growth.slope(at, [3 * n**power for n in at]) == pytest.approx(power)


def test_the_report_shows_what_was_measured(tmp_path):
    folder = tmp_path / "benchmarks"
    measured = {"seconds": {"fnnet": 0.125, "NumPy": 0.5}, "over_fnnet": {"fnnet": 1.0, "NumPy": 4.0}, "rounds": 3}
    results.add(folder, "epochs", "XOR 2-4-1", measured)
    results.add(folder, "prediction", "1", {"seconds": {"fnnet": 2e-5}})
    text = report.write(folder).read_text()
    assert "| XOR 2-4-1 | 0.12 s | 0.50 s |" in text
    assert "20.0 µs" in text
    assert "From the shell" not in text
    assert (folder / "epochs.png").exists()


@pytest.mark.parametrize("sizes", [(5, 16, 3), (5, 16, 1)])
def test_all_who_serve_give_the_same_answers(sizes):
    pytest.importorskip("torch")
    row, found = np.random.default_rng(0).normal(size=(1, 5)).astype(np.float32), serving.answers(sizes)
    expected = found[systems.NUMPY](row)
    assert expected.shape == (1, sizes[-1])
    assert np.abs(expected - 1 / max(2, sizes[-1])).max() > 0.1
    for answer in found.values():
        np.testing.assert_allclose(answer(row), expected, rtol=1e-5)


def test_serving_is_measured_and_reported(tmp_path, monkeypatch):
    monkeypatch.setattr(serving, "answers", lambda sizes: {"fnnet": lambda row: row, "NumPy": lambda row: row * 2})
    folder = tmp_path / "benchmarks"
    serving.measure(serving.Config(rounds=1, calls=2, networks=("4-3",), results=folder))
    assert list(results.read(folder, "serving")["4-3"]["seconds"]) == ["fnnet", "NumPy"]
    assert "| network | fnnet | NumPy |" in report.write(folder).read_text()


def test_processes_become_their_medians_and_their_extremes(tmp_path):
    parts = [
        {"seconds": {"fnnet": 0.1}, "over_fnnet": {name: r for name in closest.NAMES}, "form": w}
        for r, w in [(0.5, "a"), (1.25, "b"), (1.0, "b")]
    ]
    closest._keep("784-2-10 32", parts, closest.Config(results=tmp_path / "benchmarks"))
    measured = results.read(tmp_path / "benchmarks", "closest")["784-2-10 32"]
    assert measured["over_fnnet"][systems.GRAD_SCAN] == 1
    assert measured["form"] == "b"
    assert closest.extremes(measured, systems.GRAD_SCAN) == (0.5, 1.25)
    assert (
        "| 784-2-10 32 | 0.10 s | 1.00 | 0.50 to 1.25 | 1.00 | 1.00 |"
        in report.write(tmp_path / "benchmarks").read_text()
    )


def test_without_measurements_there_is_no_report(tmp_path):
    with pytest.raises(SystemExit, match="nothing measured yet"):
        report.write(tmp_path)


def test_what_a_trick_gains_is_in_the_report(tmp_path):
    folder = tmp_path / "benchmarks"
    measured = {"temporary bytes": {"trick": 6.7e6, "plain": 8.4e6}, "rounds": 9}
    results.add(folder, "tricks", "in_place", measured)
    assert "| in_place | temporary bytes | 6.70 MB | 8.40 MB | 0.80 |" in report.write(folder).read_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    "names",
    [
        ("shuffling", "in_place"),
        pytest.param(("threefry", "compile_once"), marks=pytest.mark.slow),
        pytest.param(("channel_sums", "interleaving"), marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_tricks_are_measured_beside_their_plain_versions(names, tmp_path, capsys):
    config = tricks.Config(
        tricks=names,
        rounds=1,
        first_network=(3, 4, 2),
        permutation=50,
        sizes=(4, 5, 3),
        rows=20,
        batch_size=10,
        results=tmp_path,
    )
    found = tricks.measure(config)
    assert tuple(found) == tuple(results.read(tmp_path, "tricks")) == names
    assert all(number > 0 for at in found.values() for versions in at.values() for number in versions.values())
    assert names[0] in capsys.readouterr().out


@pytest.mark.parametrize("name", tricks.PLAIN)
def test_the_plain_version_of_a_trick_is_used_wherever_the_trick_is(name):
    for trick, plain in tricks.PLAIN[name].items():
        before = tricks.users(trick)
        assert before
        with tricks._version(name, "plain"):
            assert tricks.users(trick) == []
            assert all(getattr(module, attribute) is plain for module, attribute in before)
        assert tricks.users(trick) == before


ELSEWHERE = ("experiments.sweep_optuna", "experiments.benchmarks.__main__", "experiments.benchmarks.peers")
"""Modules that need an extra, or that run as they are imported."""
MODULES = [
    module.name
    for module in pkgutil.walk_packages(experiments.__path__, "experiments.")
    if not module.name.startswith(ELSEWHERE)
]


def loaded(code):
    """Global names that a function reads, and those inside it."""
    yield from (i.argval for i in dis.get_instructions(code) if i.opname in ("LOAD_GLOBAL", "LOAD_NAME"))
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from loaded(constant)


@pytest.mark.parametrize("name", MODULES)
def test_every_name_that_an_experiment_reads_is_there(name):
    """Most of a benchmark runs in no test, and the linter does not look for names, since shapes are strings."""
    try:
        module = importlib.import_module(name)
    except SystemExit as error:
        pytest.skip(f"{error}")
    functions = [f for f in vars(module).values() if isinstance(f, types.FunctionType) and f.__module__ == name]
    missing = {n for f in functions for n in loaded(f.__code__) if n not in f.__globals__ and not hasattr(builtins, n)}
    assert not missing


@pytest.mark.parametrize("name", ["lenet", "resnet"])
def test_convolutional_networks_are_the_same_in_every_library(name):
    """Logits of the same weights, in training mode, where batch norm has the statistics of the batch."""
    pytest.importorskip("optax")
    from experiments.benchmarks.peers import convolutional_jax

    net = convolutions.network(name)
    params = fnnet.init(net.model, jax.random.key(0))
    x = convolutions.batches_of(name, net, 1)[0][0, :3]
    with jax.numpy_rank_promotion("allow"):
        theirs = getattr(convolutional_jax, name)(params, jnp.asarray(x))
    ours = fnnet.forward(net.model, params, x, key=jax.random.key(1))
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_networks_of_two_processors_are_in_the_report(tmp_path):
    """One of them without the system that the other has first."""
    compiling = {
        "compile_seconds": {systems.OURS: 1.0, convolutions.LOOP: 0.8},
        "temporary_bytes": {systems.OURS: 1e6, convolutions.LOOP: 2e6},
    }
    times = {systems.OURS: 10.0, convolutions.LOOP: 40.0, convolutions.SCAN: 300.0}
    without = {systems.OURS: 2.0, convolutions.SCAN: 50.0}
    for key, milliseconds in {"lenet, one": times, "lenet, another": without}.items():
        results.add(tmp_path / "benchmarks", "convolutions", key, {"milliseconds": milliseconds, **compiling})
    text = report.write(tmp_path / "benchmarks").read_text()
    assert "| lenet, one | 10.0 | 40.0 | 300.0 |" in text
    assert "| lenet, one | 4.00 | 30.00 |" in text
    assert "| lenet, one | 1.25 | 0.50 |" in text
    assert "| lenet, another | 2.0 |  | 50.0 |" in text
    assert "| lenet, another |  | 25.00 |" in text
    assert text.count("Measured on: ") == 1


def test_the_processor_is_named_with_what_its_speed_depends_on(tmp_path):
    """The strongest of its vector instructions, and AMX beside them; what Python knows without the file."""
    path = tmp_path / "cpuinfo"
    for flags, name in {"fma avx2": "Zen with AVX2", "avx2 avx512f": "Zen with AVX-512", "sse": "Zen"}.items():
        path.write_text(f"model name\t: Zen\nflags\t\t: {flags}\n\nmodel name\t: Zen\nflags\t\t: {flags}\n")
        assert processor(path) == name
        assert lacks_bfloat16(path)
    path.write_text("model name\t: Xeon\nflags\t\t: avx2 avx512f amx_tile amx_bf16\n")
    assert processor(path) == "Xeon with AVX-512, AMX"
    assert not lacks_bfloat16(path)
    assert not lacks_bfloat16(tmp_path / "missing")
    assert processor(tmp_path / "missing") == (platform.processor() or platform.machine())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lstm", "gpt"])
def test_networks_over_tokens_are_the_same_in_every_library(name):
    """Logits of the same weights."""
    pytest.importorskip("optax")
    torch = pytest.importorskip("torch")
    from experiments.benchmarks.peers import sequential_jax, sequential_torch

    net = sequences.network(name)
    params = fnnet.init(net.model, jax.random.key(0))
    tokens = sequences.batches_of(net, 1)[0][0, :3]
    ours = fnnet.forward(net.model, params, tokens)
    with jax.numpy_rank_promotion("allow"):
        theirs = getattr(sequential_jax, net.jax)(params, jnp.asarray(tokens))
    in_torch = getattr(sequential_torch, net.torch)(params)(torch.tensor(tokens).long())
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(ours, in_torch.detach().numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lstm", "gpt"])
def test_rounded_networks_over_tokens_give_nearly_the_same_logits_in_fnnet_and_pytorch(name):
    torch = pytest.importorskip("torch")
    from experiments.benchmarks.peers import sequential_torch

    if not sequential_torch.can_round():
        pytest.skip("PyTorch has no products of bfloat16 on this CPU")
    plain, rounded = sequences.network(name), sequences.network(name, "bfloat16")
    params = fnnet.init(plain.model, jax.random.key(0))
    tokens = sequences.batches_of(plain, 1)[0][0, :3]
    want, ours = (np.asarray(fnnet.forward(net.model, params, tokens)) for net in (plain, rounded))
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        theirs = getattr(sequential_torch, plain.torch)(params)(torch.tensor(tokens).long()).float().numpy()
    for found in (ours, theirs):
        assert 0 < np.linalg.norm(found - want) < 0.03 * np.linalg.norm(want)


@pytest.mark.slow
def test_the_products_of_networks_over_tokens_are_finite():
    assert np.isfinite(sequences.lstm_products(3, 4, 5, 2, 2)())
    assert np.isfinite(sequences.gpt_products(3, 1, 2, 4, 2, 2)())
