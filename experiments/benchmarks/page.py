"""How long the exported page takes from pen-up until every activation is drawn, and every gradient.

    python -m experiments.benchmarks.page

Headless Chromium (the one that FNNET_BROWSER names, or the first on the path) opens the page of an untrained network
and draws a seven. Then the pen goes up again and again: the image is fitted and centered, the network answers, every
layer is painted, and the page is laid out; putting it on a screen is not timed. With an answer chosen, the backward
pass is computed and painted, too.
"""

import contextlib
import dataclasses
import os
import shutil
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax

import fnnet
from experiments import command_line
from experiments.benchmarks import results

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
SEVEN = ((0.3, 0.25), (0.7, 0.25), (0.6, 0.5), (0.45, 0.8))
PEN_UP = """(rounds) => Array.from({ length: rounds }, () => {
  const start = performance.now();
  fnnet.input.canvas.dispatchEvent(new PointerEvent("pointerup"));
  document.body.getBoundingClientRect();
  return performance.now() - start;
})"""


@dataclasses.dataclass(frozen=True)
class Config:
    """Time the page of a dense and of a small convolutional network."""

    rounds: int = 31
    """Times that the pen goes up, after as many that are not counted: the browser compiles what runs often."""
    results: Path = results.FOLDER
    """Folder of the measurements."""


def executable() -> str | None:
    """Where the browser is."""
    return os.environ.get("FNNET_BROWSER") or next(filter(None, map(shutil.which, NAMES)), None)


@contextlib.contextmanager
def chromium(found: str) -> Iterator[Any]:
    """A headless browser, driven by Playwright."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=[*FLAGS])
        yield browser
        browser.close()


def networks() -> dict[str, fnnet.Model]:
    """The network of `experiments.mnist`, and that of `experiments.page --convolutions`."""
    return {
        "784-128-64-10": fnnet.mlp((784, 128, 64, 10), input_shape=(28, 28), scale=1 / 255),
        "5x5 convolutions 8-16, 10": fnnet.cnn((28, 28), (8, 16), (10,), kernel=(5, 5), scale=1 / 255),
    }


def pen_up(browser: Any, path: Path, rounds: int) -> dict[str, float]:
    """Median seconds of the forward pass, and of both passes."""
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.goto(path.resolve().as_uri())
    box = page.locator("#paper").bounding_box()
    (x, y), *rest = [(box["x"] + a * box["width"], box["y"] + b * box["height"]) for a, b in SEVEN]
    page.mouse.move(x, y)
    page.mouse.down()
    for to in rest:
        page.mouse.move(*to, steps=8)
    page.mouse.up()
    _, forward = (page.evaluate(PEN_UP, rounds) for _ in range(2))
    page.locator(".answers button").nth(7).click()
    _, both = (page.evaluate(PEN_UP, rounds) for _ in range(2))
    page.close()
    return {"forward": statistics.median(forward) / 1e3, "forward and backward": statistics.median(both) / 1e3}


def measure(config: Config) -> None:
    """Seconds and the size of the file, written down."""
    found = executable()
    if found is None:
        raise SystemExit(f"no browser: install one of {', '.join(NAMES)}, or set FNNET_BROWSER to its file")
    with tempfile.TemporaryDirectory() as folder, chromium(found) as browser:
        for number, (name, model) in enumerate(networks().items()):
            path = Path(folder) / f"{number}.html"
            fnnet.export_page(model, fnnet.init(model, jax.random.key(0)), path)
            seconds = pen_up(browser, path, config.rounds)
            measured = {"seconds": seconds, "bytes": path.stat().st_size, "rounds": config.rounds}
            results.add(config.results, "page", name, measured | {"browser": browser.version})
            print(f"{name}: {', '.join(f'{k} {1e3 * s:.1f} ms' for k, s in seconds.items())}", flush=True)


if __name__ == "__main__":
    command_line.run(measure, Config, __doc__)
