"""The page as a visitor uses it, in a real browser: drawn on, asked, taught, walked through, and without a network."""

import base64
import contextlib
import json
from pathlib import Path

import jax
import numpy as np
import pytest

import fnnet
from experiments.benchmarks import page as benchmark
from experiments.benchmarks import report, results
from tests.own_digits.draw import DRAWINGS, placed, resampled
from tests.page.browser import Opened, started
from tests.page.test_export import document_of

pytestmark = pytest.mark.browser
DIGIT = Path(__file__).parents[2] / "experiments" / "results" / "digit.html"
SINGLE = [drawing for drawing in DRAWINGS if len(drawing.digits) == 1]
PASS = """() => {
  const { pass, x } = fnnet.state;
  const layers = [...pass.layers].map(([name, { y, dy, dx, grads }]) =>
    [name, [y, dy, dx, grads.w, grads.b].filter((a) => a).map(({ data }) => [...data])]);
  return JSON.stringify({ layers, x: [...x.data], value: pass.value, p: [...pass.probabilities.data] });
}"""
INK = """() => {
  const { canvas, context } = fnnet.input;
  return [...context.getImageData(0, 0, canvas.width, canvas.height).data].filter((_, i) => i % 4 === 3).join(" ");
}"""


@pytest.fixture(scope="module")
def browser():
    with started() as browser:
        yield browser


@pytest.fixture
def opened(browser):
    """Opens pages, and checks at the end that they neither complained nor asked for anything."""
    pages = []

    def visit(path, **settings):
        pages.append(Opened(browser, path, **settings))
        return pages[-1].page

    yield visit
    for each in pages:
        each.check_quiet()
        each.context.close()


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Pages of small networks: a plane, sliders, and images that are not digits."""
    folder = tmp_path_factory.mktemp("pages")
    plane = fnnet.mlp((2, 8, 8, 1), activation=fnnet.Tanh(), loss=fnnet.SigmoidBinaryCrossEntropy())
    sliders = fnnet.mlp((3, 5, 2), loss=fnnet.SquaredError())
    image = fnnet.cnn((12, 10), (3,), (4,))
    rows = fnnet.Batch(np.eye(3, dtype=np.float32), np.ones((3, 2)))
    settings = {"plane": {}, "sliders": {"inputs": ["a", "b", "c"], "outputs": ["u", "v"], "samples": rows}}
    for name, model in (("plane", plane), ("sliders", sliders), ("image", image)):
        params = fnnet.init(model, jax.random.key(0))
        fnnet.export_page(model, params, folder / f"{name}.html", **settings.get(name, {}))
    return folder


@pytest.fixture(scope="module")
def network():
    """(model, params) of the committed page, read from it."""
    params = document_of(DIGIT)["params"]

    def array(ref):
        return np.frombuffer(base64.b64decode(ref["float32"]), "<f4").reshape(ref["shape"])

    model = fnnet.mlp((784, 128, 64, 10), input_shape=(28, 28), scale=1 / 255)
    shapes = fnnet.init(model, jax.random.key(0))
    return model, jax.tree.unflatten(jax.tree.structure(shapes), [array(p[k]) for p in params if p for k in ("w", "b")])


def ink_on(page):
    """The paper's pixels, 0 to 255, as text: a list of 78,400 numbers would take seconds to come over."""
    return np.array(page.evaluate(INK).split(), np.uint8)


def draw(page, drawing, seed):
    """The strokes of one of the own digits by the mouse, upright in the middle of the paper."""
    page.get_by_role("button", name="Clear").click()
    ways, _ = placed(drawing, np.random.default_rng(seed))
    points = np.concatenate(ways)
    low, size = points.min(0), np.ptp(points, 0).max()
    box = page.locator("#paper").bounding_box()
    middle = np.array([box["x"] + box["width"] / 2, box["y"] + box["height"] / 2])
    for way in ways:
        way = middle + (way - low - np.ptp(points, 0) / 2) * 0.68 * box["width"] / size
        first, *rest = resampled(way, 30.0)
        page.mouse.move(*first)
        page.mouse.down()
        for point in rest:
            page.mouse.move(*point)
        page.mouse.up()


def test_twenty_drawn_digits_are_seen_and_answered_as_in_python(opened, network):
    page = opened(DIGIT)
    right = 0
    for number, drawing in enumerate(SINGLE[::5] + SINGLE[2::5]):
        draw(page, drawing, number)
        paper = ink_on(page).reshape(280, 280)
        wanted = fnnet.datasets.digit_from_image(paper)
        found = page.evaluate("() => ({ x: [...fnnet.state.x.data], p: [...fnnet.state.pass.probabilities.data] })")
        assert np.abs(np.reshape(found["x"], (28, 28)) - wanted.astype(float)).max() <= 1, drawing.what
        answer = int(np.argmax(fnnet.predict(*network, wanted[None])))
        assert int(np.argmax(found["p"])) == answer, drawing.what
        shown = page.locator(".answers .best b").all_inner_texts()
        assert shown == [str(answer)], drawing.what
        right += answer == int(drawing.digits)
    assert right >= 18


def test_every_number_shown_is_that_of_the_trace(opened, network, float64):
    page = opened(DIGIT)
    page.get_by_role("button", name="Sample: 7").click()
    page.locator(".answers button").nth(3).click()
    found = json.loads(page.evaluate(PASS))
    model, params = network
    params = jax.tree.map(lambda p: p.astype(np.float64), params)
    wanted = fnnet.trace(model, params, np.reshape(found["x"], (1, 28, 28)).astype(float), np.array([3], np.int32))
    assert found["value"] == pytest.approx(float(wanted.result.value), rel=1e-10)
    assert [name for name, _ in found["layers"]] == list(wanted.layers)
    for name, arrays in found["layers"]:
        layer = wanted.layers[name]
        for a, b in zip(arrays, [layer.y, layer.dy, layer.dx, *layer.grads], strict=True):
            assert np.allclose(a, np.ravel(b), rtol=1e-10, atol=1e-10 * np.abs(b).max()), name


def test_the_backward_pass_appears_and_ten_steps_teach(opened):
    page = opened(DIGIT)
    page.get_by_role("button", name="Sample: 7").click()
    step, ten, reset = (page.get_by_role("button", name=name, exact=True) for name in ("One step", "Ten", "Reset"))
    assert step.is_disabled()
    assert page.locator("figure.dy:not(.empty)").count() == 0
    page.locator(".answers button").nth(3).click()
    assert page.locator("figure.dy:not(.empty)").count() == 8  # the input and seven layers
    before = json.loads(page.evaluate(PASS))
    step.click()
    after = json.loads(page.evaluate(PASS))
    assert after["value"] < before["value"]
    assert "loss" in page.locator("#outcome").inner_text()
    for _ in range(3):
        ten.click()
    taught = json.loads(page.evaluate(PASS))
    assert taught["p"][3] > 0.9
    assert page.locator(".answers .best b").all_inner_texts() == ["3"]
    reset.click()
    assert json.loads(page.evaluate(PASS)) == before


def test_a_number_says_where_it_comes_from(opened):
    page = opened(DIGIT)
    page.get_by_role("button", name="Sample: 7").click()
    page.locator(".answers button").nth(3).click()
    neurons = page.get_by_label("2 Dense", exact=True).locator("figure.y canvas")
    neurons.hover(position={"x": 20, "y": 20})
    assert page.locator("#connections path").count() == 12
    assert "sum of" in page.locator("#lines").inner_text()
    assert page.locator("#pictures figure").count() == 3
    page.get_by_label("4 Dense", exact=True).locator("figure.dw canvas").hover(position={"x": 30, "y": 30})
    text = page.locator("#lines").inner_text()
    assert "h3[" in text
    assert "da4[" in text
    page.get_by_label("3 Relu", exact=True).locator("figure.dy canvas").click(position={"x": 30, "y": 30})
    kept = page.locator("#lines").inner_text()
    page.mouse.move(5, 5)
    assert page.locator("#lines").inner_text() == kept


def test_the_keyboard_reaches_everything(opened):
    page = opened(DIGIT)
    sample = page.get_by_role("button", name="Sample: 4")
    sample.focus()
    page.keyboard.press("Enter")
    assert page.locator(".answers .best b").all_inner_texts() == ["4"]
    page.get_by_label("6 Dense", exact=True).locator("figure.y canvas").focus()
    page.keyboard.press("ArrowDown")
    assert page.locator("#detail-title").inner_text() == "a6[1]"
    page.keyboard.press("ArrowDown")
    assert page.locator("#detail-title").inner_text() == "a6[2]"
    page.keyboard.press("Escape")
    assert page.locator("#detail-title").inner_text() == "The forward pass"


def test_a_walk_shows_one_operation_at_a_time(opened):
    page = opened(DIGIT)
    page.get_by_role("button", name="Sample: 7").click()
    page.locator(".answers button").nth(3).click()
    titles = []
    for _ in range(17):
        page.get_by_role("button", name="Next operation").click()
        titles.append(page.locator("#detail-title").inner_text())
    layers = ["0 Flatten", "1 Rescale", "2 Dense", "3 Relu", "4 Dense", "5 Relu", "6 Dense"]
    forward = [f"{name}, forward" for name in ["Input", *layers, "Loss"]]
    assert titles == [*forward, *(f"{name}, backward" for name in ["Loss", *layers[::-1]])]
    assert page.locator("figure.waiting:not(.empty)").count() == 0
    for _ in range(8):
        page.get_by_role("button", name="Previous operation").click()
    assert page.locator("figure.dy.waiting:not(.empty)").count() == 8
    page.get_by_role("button", name="Slow").click()
    assert page.locator("figure.waiting").count() == 0


def test_undo_and_clear(opened):
    page = opened(DIGIT)
    draw(page, SINGLE[22], 0)
    whole = page.evaluate("() => fnnet.input.strokes.length")
    page.get_by_role("button", name="Undo").click()
    assert page.evaluate("() => fnnet.input.strokes.length") == whole - 1
    page.get_by_role("button", name="Clear").click()
    assert page.evaluate("() => Math.max(...fnnet.state.x.data)") == 0


def test_a_small_network_learns_in_the_page(opened, small):
    page = opened(small / "plane.html")
    page.get_by_role("button", name="Start").click()
    page.wait_for_function("() => /step [0-9]{3,}/.test(document.querySelector('.report').textContent)")
    page.get_by_role("button", name="Pause").click()
    learned = page.locator(".report").inner_text()
    assert float(learned.split("loss ")[1].split()[0]) < 0.5
    for problem in ("circles", "spirals", "XOR"):
        page.select_option("#data", problem)
        page.get_by_role("button", name="One step").click()
        assert page.locator(".report").inner_text().startswith("step 1: loss")
    page.get_by_label("Neurons in hidden layer 1").fill("5")
    page.keyboard.press("Tab")
    assert page.get_by_label("0 Dense", exact=True).locator("small").inner_text() == "2 → 5"
    page.select_option("#data", "own points")
    page.get_by_role("button", name="One step").click()
    assert "click into the plane" in page.locator(".report").inner_text()
    for mode, place in (("add ●", 40), ("add ▲", 140)):
        page.get_by_label(mode).check()
        page.locator("#plane").click(position={"x": place, "y": place})
    page.get_by_role("button", name="One step").click()
    assert page.locator(".report").inner_text().startswith("step 1: loss")
    page.locator(".answers button").nth(0).click()
    assert page.locator("figure.dy:not(.empty)").count() == 6


def test_sliders_and_values_to_reach(opened, small):
    page = opened(small / "sliders.html")
    page.get_by_label("a", exact=True).focus()
    page.keyboard.press("End")
    assert page.evaluate("() => fnnet.state.x.data[0]") == 1
    for box, value in zip(page.locator(".answers input").all(), ("0.5", "-1"), strict=True):
        box.fill(value)
    before = page.evaluate("() => fnnet.state.pass.value")
    page.get_by_role("button", name="Ten").click()
    assert page.evaluate("() => fnnet.state.pass.value") < before
    page.get_by_role("button", name="Another sample").click()
    assert sorted(page.evaluate("() => [...fnnet.state.x.data]")) == [0, 0, 1]


def test_images_that_are_no_digits_are_shrunk(opened, small):
    page = opened(small / "image.html")
    page.locator("#paper").click()
    seen = np.reshape(page.evaluate("() => [...fnnet.state.x.data]"), (12, 10))
    paper = ink_on(page).astype(float).reshape(336, 280).reshape(12, 28, 10, 28).mean((1, 3))
    assert np.abs(seen - paper).max() < 1e-9
    assert seen.max() > 0


VIEWS = [("light", (1280, 800)), ("dark", (390, 844)), ("dark", (1280, 800)), ("light", (390, 844))]


@pytest.mark.parametrize(
    ("scheme", "size"), [pytest.param(*view, marks=pytest.mark.slow if i > 1 else ()) for i, view in enumerate(VIEWS)]
)
def test_axe_finds_nothing_serious(opened, small, scheme, size):
    from axe_playwright_python.sync_playwright import Axe

    for path in (DIGIT, small / "plane.html", small / "sliders.html"):
        page = opened(
            path, color_scheme=scheme, viewport={"width": size[0], "height": size[1]}, reduced_motion="reduce"
        )
        page.locator(".answers button, .answers input").first.click()
        found = Axe().run(page).response["violations"]
        serious = [v for v in found if v["impact"] in ("serious", "critical")]
        assert not serious, [(v["id"], [node["html"] for node in v["nodes"]][:3]) for v in serious]


def test_a_wide_page_is_one_screen_and_a_narrow_one_does_not_scroll_sideways(opened):
    wide, narrow = opened(DIGIT), opened(DIGIT, viewport={"width": 390, "height": 844}, has_touch=True)
    sizes = "() => [document.documentElement.scrollWidth, document.documentElement.scrollHeight]"
    assert wide.evaluate(sizes) == [1280, 800]
    assert (
        wide.evaluate("() => { const n = document.getElementById('network'); return n.scrollWidth - n.clientWidth }")
        <= 0
    )
    assert narrow.evaluate(sizes)[0] == 390
    narrow.locator("#paper").tap()
    assert narrow.evaluate("() => fnnet.input.strokes.length") == 1


def test_the_wait_after_pen_up_is_measured_and_reported(browser, tmp_path, monkeypatch):
    folder = tmp_path / "benchmarks"
    monkeypatch.setattr(benchmark, "chromium", lambda found: contextlib.nullcontext(browser))
    monkeypatch.setattr(benchmark, "networks", lambda: {"784-10": fnnet.mlp((784, 10), input_shape=(28, 28))})
    benchmark.measure(benchmark.Config(rounds=2, results=folder))
    for part in results.read(folder, "page").values():
        assert all(seconds > 0 for seconds in part["seconds"].values())
        assert part["bytes"] < 1e6
    assert "| network | forward | forward and backward | the file |" in report.write(folder).read_text()


def test_a_kept_weight_says_what_the_steps_did_to_it_and_escape_lets_go(opened, network):
    page, (_, params) = opened(DIGIT), network
    page.get_by_role("button", name="Sample: 7").click()
    page.locator(".answers button").nth(3).click()
    page.get_by_label("6 Dense", exact=True).locator("figure.dw canvas").click(position={"x": 40, "y": 40})
    cell = page.locator("#detail-title").inner_text()
    i, o = map(int, cell.removeprefix("dw6[").removesuffix("]").split(","))
    assert page.locator("#connections rect").count() == 1
    page.get_by_role("button", name="One step", exact=True).click()
    after = page.evaluate(f"() => fnnet.state.pass.layers.get('6 Dense').params.w.data[{i * 10 + o}]")
    said = page.locator("#lines").inner_text().replace("\u2212", "-").split("moved it by ")[1].split()[0]
    np.testing.assert_allclose(float(said), after - float(params[6].w[i, o]), rtol=0.01, atol=1e-9)
    page.keyboard.press("Escape")
    assert page.locator("#detail-title").inner_text() == "The backward pass"
    page.locator("#rate").fill("-1")
    page.get_by_role("button", name="One step", exact=True).click()
    assert "above 0" in page.locator("#outcome").inner_text()
