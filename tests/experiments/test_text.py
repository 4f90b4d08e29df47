"""The experiments with text: small runs that learn, and what they leave."""

import dataclasses
import json

import jax
import numpy as np
import pytest

import fnnet
from experiments import names, shakespeare
from tests.experiments.test_experiments import only, records

NAMES = "\n".join(a + b for a in ("an", "be", "car", "do", "em", "fi") for b in ("na", "lla", "ra", "ry", "na", "mmy"))


@pytest.fixture
def small_texts(tmp_path, monkeypatch):
    """36 names and a rhyme in place of the published texts."""
    monkeypatch.setattr(fnnet.datasets, "text", lambda name: NAMES if name == "names" else "to be or not to be\n" * 40)


def test_windows_are_the_characters_before_each_character():
    data, vocabulary = fnnet.datasets.lines("anna\nbo")
    rows = names.windows(data, 3, 0)
    assert [vocabulary.decode(row) for row in rows.x] == [
        "\n\n\n",
        "\n\na",
        "\nan",
        "ann",
        "nna",
        "\n\n\n",
        "\n\nb",
        "\nbo",
    ]
    assert vocabulary.decode(rows.y) == "anna\nbo\n"
    np.testing.assert_array_equal(names.windows(data, 1, 0).x[:, 0], data.x[data.y >= 0])


@pytest.mark.slow
def test_names_trains_and_leaves_its_files(small_texts, tmp_path, capsys):
    kept, kinds = tmp_path / "kept", ("bigram", "dense", "gru")
    config = names.Config(
        kinds=kinds, seeds=2, epochs=4, batch_size=8, width=8, window=3, held_out=6, sample_every=2, names=3,
        learning_rate=1e-2, runs=tmp_path, copy_to=kept, progress=False,
    )  # fmt: skip
    names.main(config)
    text, run = capsys.readouterr().out, only(tmp_path / "names")
    assert "24 training, 6 validation and 6 test names" in text
    tests = [row for row in records(run) if "test_loss" in row]
    assert [(row["data"], row["seed"]) for row in tests] == [(k, s) for k in kinds for s in (0, 1)]
    first = {row["data"]: row["loss"] for row in records(run) if row.get("epoch") == 1}
    last = {row["data"]: row["loss"] for row in records(run) if row.get("epoch") == 4}
    assert all(last[kind] < first[kind] for kind in kinds)
    assert {"names.json", "names_curves.png", "names_gradients.png"} == {path.name for path in kept.iterdir()}
    saved = fnnet.restore(run / "gru_checkpoint.safetensors")
    assert saved.vocabulary == fnnet.datasets.Vocabulary.of(NAMES)
    assert text.count("gru, epoch") == 2
    assert "dense, epoch" not in text


@pytest.mark.parametrize("kind", names.Config.kinds)
def test_every_kind_has_logits_of_the_next_character(kind):
    config = names.Config(width=8, heads=2, window=3)
    model = names.build(kind, config, context=5, tokens=7)
    params = jax.eval_shape(lambda key: fnnet.init(model, key), jax.random.key(0))
    tokens = jax.ShapeDtypeStruct((2, *model.input_shape), np.int32)
    logits = jax.eval_shape(lambda params, x: fnnet.forward(model, params, x), params, tokens)
    assert logits.shape == ((2, 7) if kind == "dense" else (2, 5, 7))


def test_candidates_and_the_best_are_settings():
    for changes in (*shakespeare.CANDIDATES.values(), shakespeare.BEST):
        config = dataclasses.replace(shakespeare.Config(), **changes)
        model, _ = shakespeare.build(config, 65)
        assert model.input_shape == (config.context,)


@pytest.mark.slow
def test_the_gradient_of_an_rnn_vanishes_before_that_of_an_lstm():
    rnn, lstm = (names.gradient_norms(kind, 16, 48, 0) for kind in ("rnn", "lstm"))
    assert rnn.shape == lstm.shape == (48,)
    assert rnn[0] / rnn[-1] < lstm[0] / lstm[-1]


@pytest.mark.slow
def test_shakespeare_learns_and_leaves_its_files(small_texts, tmp_path, capsys):
    kept = tmp_path / "kept"
    config = shakespeare.Config(
        seeds=2, steps=40, report_every=20, context=8, layers=1, heads=2, width=16, warmup=5, sample=12,
        learning_rate=1e-2, runs=tmp_path, copy_to=kept,
    )  # fmt: skip
    shakespeare.main(config)
    run = only(tmp_path / "shakespeare")
    for seed in (0, 1):
        losses = [row["validation_loss"] for row in records(run) if row["seed"] == seed and "validation_loss" in row]
        assert len(losses) == 2
        assert losses[1] < losses[0]
    assert {path.name for path in kept.iterdir()} == {
        "shakespeare.json", "shakespeare_curves.png", "shakespeare_attention.png", "shakespeare_sample.txt",
    }  # fmt: skip
    assert json.loads((kept / "shakespeare.json").read_text())["results"]["validation loss"]["seeds"] == [0, 1]
    assert fnnet.restore(run / "checkpoint.safetensors").vocabulary == fnnet.datasets.Vocabulary.of(
        "to be or not to be\n"
    )
    assert "seed 1, step 40" in capsys.readouterr().out


def test_attention_looks_only_back_and_its_weights_add_up_to_1():
    rng = np.random.default_rng(0)
    pair = lambda: fnnet.layers.DenseParams(rng.normal(size=(6, 6)), rng.normal(size=6))  # noqa: E731
    params = type("Params", (), {"query": pair(), "key": pair()})
    weights = shakespeare.attention_weights(params, rng.normal(size=(5, 6)), 2)
    assert weights.shape == (2, 5, 5)
    np.testing.assert_allclose(weights.sum(-1), 1)
    assert (weights[:, ~np.tri(5, dtype=bool)] == 0).all()
    assert (weights[:, np.tri(5, dtype=bool)] > 0).all()


@pytest.mark.parametrize(
    ("script", "setting", "fault"),
    [
        (names, {"seeds": 0}, "--seeds"),
        (names, {"held_out": 0}, "--held-out"),
        (shakespeare, {"steps": 100, "report_every": 30}, "--steps"),
        (shakespeare, {"context": 0}, "--context"),
        (shakespeare, {"validation_fraction": 1.0}, "--validation-fraction"),
    ],
    ids=str,
)
def test_settings_that_make_no_sense_are_refused_in_one_line(script, setting, fault, tmp_path):
    with pytest.raises(SystemExit, match=fault):
        script.main(script.Config(**setting, runs=tmp_path))
    assert not list(tmp_path.iterdir())
