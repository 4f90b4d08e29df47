"""Records: chosen by a search that does not see the test images, then trained on all others and tested once."""

import dataclasses
import json

import jax
import numpy as np
import pytest

import fnnet
from experiments import records, results_file
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
    (found,) = kept(tmp_path, search=True).values()
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
    assert found["results"]["goal"] == "99 %: reached"
    assert (tmp_path / "kept" / "records_quick_mistakes.png").exists()
    assert "60" in capsys.readouterr().out
    lines = (only(tmp_path / "runs" / "records") / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["seed"] for line in lines] == [0, 1]


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


def test_a_recipe_without_a_search_says_so(tmp_path):
    assert all(recipe.best in (None, *recipe.candidates) for recipe in RECIPES.values())
    name = next(name for name, recipe in RECIPES.items() if recipe.best is None)
    with pytest.raises(SystemExit, match=f"--recipe {name}: no candidate has won its search yet; run it with --search"):
        records.main(Config(recipe=name, runs=tmp_path / "runs"))
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
