"""Records: chosen by a search that does not see the test images, then trained on all others and tested once."""

import dataclasses
import json
import platform
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnnet
from experiments import records, records_page, results_file
from experiments.records import RECIPES, Candidate, Config
from tests.experiments.test_five_optimizers import only, stripes

TINY = Candidate((8,), (fnnet.Affine(shift=0.5),), epochs=2, rate=0.02, batch_size=40)


@pytest.fixture
def tiny(monkeypatch):
    """60 images held out of 360 in place of MNIST, 60 to test, and two candidates."""
    monkeypatch.setattr(fnnet.datasets, "mnist", lambda: (stripes(360, 0), stripes(60, 1)))
    wider = TINY._replace(hidden=(16,), dropout=(None, 0.1), smoothing=0.1)
    monkeypatch.setitem(
        RECIPES, "quick", RECIPES["quick"]._replace(candidates=(TINY, wider), best=wider, seeds=2, most=99.0)
    )


def kept(tmp_path, **settings):
    """What the run kept, by name."""
    records.main(Config(recipe="quick", runs=tmp_path / "runs", copy_to=tmp_path / "kept", progress=False, **settings))
    return {path.stem: results_file.read(path) for path in (tmp_path / "kept").glob("*.json")}


@pytest.mark.usefixtures("optimized")
def test_a_search_compares_candidates_and_leaves_the_test_images_closed(tmp_path, tiny, monkeypatch, capsys):
    monkeypatch.setattr(fnnet, "predict", None)  # which is what opens them
    assert list(kept(tmp_path, search=True, only=(0,))) == ["records_quick_search_0"]
    found = kept(tmp_path, search=True)["records_quick_search"]
    names = list(found["results"])
    assert [name.split(":")[0] for name in names] == ["0", "1"]
    assert names[1].endswith(
        "784-16-10, Affine(shift=0.5), dropout 0 and 0.1, labels smoothed by 0.1, Adam at 0.02, batches of 40, 2 epochs"
    )
    assert (tmp_path / "kept" / "records_quick_search.png").stat().st_size > 5000
    assert "of 60 images held out wrong" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.usefixtures("optimized")
def test_a_recipe_trains_every_seed_and_says_whether_its_goal_is_reached(tmp_path, tiny, capsys):
    found = kept(tmp_path)["records_quick"]
    assert len(found["results"]["test errors"].values) == len(found["results"]["seconds of training"].values) == 2
    assert found["results"]["goal"] == "99 % in 15 s: reached"
    assert (tmp_path / "kept" / "records_quick_mistakes.png").exists()
    assert "60" in capsys.readouterr().out
    lines = (only(tmp_path / "runs" / "records") / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["seed"] for line in lines] == [0, 1]


def in_both(candidate):
    """The network of a candidate in fnnet and in PyTorch, from the same parameters."""
    pytest.importorskip("torch")
    from experiments.benchmarks.peers import records_torch

    model = candidate.model()
    params = fnnet.init(model, jax.random.key(0))
    return model, params, records_torch.network(candidate, params), records_torch


@pytest.mark.parametrize("channels", [(), (3, 4)], ids=["dense", "convolutional"])
def test_the_network_in_pytorch_is_the_same(channels):
    distortion = fnnet.Elastic(20, 4, affine=fnnet.Affine(rotation=9))
    candidate = TINY._replace(distortions=(distortion,), channels=channels, normalized=bool(channels), padding="valid")
    model, params, network, records_torch = in_both(candidate)
    images = np.random.default_rng(0).integers(0, 256, (5, 28, 28), np.uint8)
    want = fnnet.predict(model, params, images)
    np.testing.assert_allclose(records_torch.probabilities(network, images), want, rtol=2e-4, atol=1e-6)


@pytest.mark.slow
def test_distortions_in_pytorch_are_the_same(monkeypatch):
    """At the same places, the same images; the places have the same spread."""
    spec = fnnet.Elastic(20.0, 4.0, affine=fnnet.Affine(rotation=9.0, scale=0.1, shear=0.1, shift=1.0))
    *_, records_torch = in_both(TINY)
    torch, images = records_torch.torch, np.random.default_rng(0).random((300, 28, 28), np.float32)
    places = np.asarray(spec.places(jax.random.key(0), images.shape, np.float32))
    torch.manual_seed(0)
    others = torch.stack(records_torch._affine(spec.affine, 300, 28)) + records_torch._field(spec, 300, 28)
    still = np.asarray(np.broadcast_arrays(np.arange(28.0)[:, None], np.arange(28.0)))[:, None]
    moved = [np.sqrt(np.square(p - still).mean()) for p in (places, others.numpy())]
    assert moved[0] == pytest.approx(moved[1], rel=0.05)
    monkeypatch.setattr(records_torch, "_affine", lambda *_: torch.tensor(places))
    monkeypatch.setattr(records_torch, "_field", lambda *_: torch.zeros(2, 1, 1, 1))
    got = records_torch.Distort(spec)(torch.tensor(images)[:, None])[:, 0]
    want = spec.forward((), jnp.asarray(images), key=jax.random.key(0))[0]
    np.testing.assert_allclose(got.numpy(), want, atol=2e-5)


@pytest.mark.slow
def test_pytorch_learns_beside_it(tmp_path, tiny, monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.setitem(RECIPES, "quick", RECIPES["quick"]._replace(best=TINY))
    found = kept(tmp_path, pytorch=True)["records_quick"]["results"]
    assert len(found["test errors, PyTorch"].values) == len(found["seconds of training, PyTorch"].values) == 2
    assert max(found["test errors, PyTorch"].values) < 60


def test_what_pytorch_does_not_have_is_refused():
    for missing in ({"noise": 0.3}, {"residual": True}):
        with pytest.raises(ValueError, match=rf"network: {min(missing)} of 784-8-10, .* are not there in PyTorch's"):
            in_both(TINY._replace(**missing))


CANDIDATES = {f"{name} {i}": c for name, recipe in RECIPES.items() for i, c in enumerate(recipe.candidates)}


@pytest.mark.parametrize("name", CANDIDATES)
def test_every_candidate_is_a_network_for_the_images(name):
    candidate = CANDIDATES[name]
    model = candidate.model()
    assert model.network.layers[: 1 + len(candidate.distortions)] == (fnnet.Rescale(1 / 255), *candidate.distortions)
    params = jax.eval_shape(lambda key: fnnet.init(model, key), jax.random.key(0))
    images = jax.ShapeDtypeStruct((2, 28, 28), np.uint8)
    assert jax.eval_shape(lambda p, x: fnnet.forward(model, p, x), params, images).shape == (2, 10)
    count = sum(p.size for p in jax.tree.leaves(params))
    assert count < 10_000 or "tiny" not in name
    jax.eval_shape(candidate.optimizer(60_000).init, params)
    assert all(f"{part}" in str(candidate) for part in (*candidate.hidden, *candidate.channels, candidate.epochs))


def test_the_page_has_a_row_for_every_recipe_and_the_candidates_of_its_search(tmp_path):
    numbers = results_file.Result([0.5, 0.7], "%", range(2))
    common = {"network": f"time: {TINY}", "seconds": 1.0, "folder": tmp_path}
    results_file.record(
        "records_quick", command="python -m experiments.records --recipe quick", author="nobody", **common,
        results={"test errors": numbers, "seconds of training": numbers, "goal": "1 %: reached"},
        figures={"records_quick_mistakes.png": "mistakes"},
    )  # fmt: skip
    results_file.record(
        "records_quick_search", command="python -m experiments.records --recipe quick --search", author="", **common,
        results={f"0: validation errors, {TINY}": "0.9 % in 2 s"},
    )  # fmt: skip
    results_file.record(
        "records_quick_search_4", command="python -m experiments.records --recipe quick --search --only 4", author="",
        results={f"4: validation errors, {TINY}": "0.8 % in 3 s"}, **common,
    )  # fmt: skip
    text = records_page.render(tmp_path)
    lines = text.splitlines()
    assert len([line for line in lines if "not trained yet" in line]) == len(RECIPES) - 1
    title = "time to 99 %, dense network"
    (row,) = [line for line in lines if line.startswith(f"| [{title}](#time-to-99--dense-network) | 0.60 % ± 0.14")]
    assert (
        "| 1 % in 15 s: reached | none | 0.60 % ± 0.14 (2 seeds) |  | `python -m experiments.records --recipe quick` |"
        in row
    )
    assert f"| 0 | {TINY} | 0.9 % in 2 s |" in lines
    assert f"| 4 | {TINY} | 0.8 % in 3 s |" in lines
    assert [line.split("`")[1] for line in lines if line.startswith("Searched with")] == [
        f"python -m experiments.records --recipe quick --search{only}" for only in ("", " --only 4")
    ]
    assert f"## {title}" in lines
    assert "![mistakes](records_quick_mistakes.png)" in lines
    (measured,) = [line for line in lines if line.startswith("Measured on: ")]
    assert measured.startswith(f"Measured on: {results_file.hardware()}; fnnet ")
    assert measured.endswith(f"python {platform.python_version()}.")


def test_the_page_is_made_of_the_results_that_are_kept():
    page = records_page.FOLDER / "records.md"
    assert page.read_text(encoding="utf-8") == records_page.render(records_page.FOLDER), "run experiments.records_page"


def test_the_page_says_which_recipe_was_trained_on_which_machine(tmp_path, monkeypatch):
    numbers = results_file.Result([0.5], "%", [0])
    for machine, recipe in {"one machine": "tiny", "another": "quick"}.items():
        monkeypatch.setattr(results_file, "hardware", lambda machine=machine: machine)
        results_file.record(
            f"records_{recipe}", command="", network="", author="", seconds=1.0, folder=tmp_path,
            results={"test errors": numbers, "seconds of training": numbers, "goal": ""},
        )  # fmt: skip
    results_file.record(
        "records_tiny", command="", network="", author="", seconds=1.0, folder=tmp_path / records_page.AGAIN,
        results={"test errors": numbers, "seconds of training": numbers, "goal": ""},
    )  # fmt: skip
    measured, again = (line for line in records_page.render(tmp_path).splitlines() if line.startswith("Measured on: "))
    assert again.startswith("Measured on: another; fnnet ")
    assert re.fullmatch(r"Measured on: another; fnnet .* \(quick\); one machine; fnnet .* \(tiny\)\.", measured)


def test_every_winner_is_one_of_the_candidates():
    assert all(recipe.best in (None, *recipe.candidates) for recipe in RECIPES.values())


def test_a_recipe_without_a_search_says_so(tmp_path, monkeypatch):
    monkeypatch.setitem(RECIPES, "tiny", RECIPES["tiny"]._replace(best=None))
    with pytest.raises(SystemExit, match="--recipe tiny: no candidate has won its search yet; run it with --search"):
        records.main(Config(recipe="tiny", runs=tmp_path / "runs"))
    assert not (tmp_path / "runs").exists()


def test_the_rate_ends_with_the_last_step():
    optimizer = TINY.optimizer(90)
    steps = 2 * 3
    rates = [float(fnnet.at_step(optimizer, step, np.float32).learning_rate) for step in range(steps)]
    assert max(rates) == pytest.approx(0.02, rel=0.1)
    assert optimizer.learning_rate.steps == steps


@pytest.mark.parametrize("name", ["seeds", "epochs", "rows"])
def test_counts_are_checked_before_anything_is_loaded(name, tmp_path):
    config = dataclasses.replace(Config(recipe="elastic", runs=tmp_path / "runs", search=True), **{name: 0})
    with pytest.raises(SystemExit, match=f"--{name}: expected a number of 1 or more, got 0"):
        records.main(config)
    assert not (tmp_path / "runs").exists()
