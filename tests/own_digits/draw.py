"""Draws images like those in this folder, digits with many pens and papers: `python -m tests.own_digits.draw FOLDER`.

Each digit is a few strokes through points that were set by hand, in several ways of writing it. A drawing moves the
points a little, as a hand would, leans and turns them, and draws them with a pen on a paper under some light. The
images were drawn before there was anything that reads them, and the files in this folder are what counts: none is
redrawn and none removed. The script is kept to show how they came about, and so writes to another folder; with a
number after it, `FOLDER 1`, it assigns pens and papers afresh and draws 300 images that nothing was tried on.
"""

import csv
import dataclasses
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

# Points in hundredths of the digit's height, x to the right and y down. The pen runs smoothly through them, turns
# sharply at "|" and is lifted at "/".
GLYPHS = {
    "0a": "38,2 15,15 3,50 14,86 34,98 55,84 64,48 54,14 36,2 28,5",
    "0b": "40,4 20,20 10,55 18,90 32,96 46,70 48,30 38,8",
    "0c": "30,8 8,30 5,65 25,95 55,92 72,60 66,22 42,4 22,14 14,24",
    "0d": "10,40 25,6 52,8 62,45 50,88 24,94 8,62 12,34",
    "0e": "50,8 22,10 6,45 14,88 42,94 62,64 60,28",
    "1a": "32,2 31,50 30,98",
    "1b": "10,28 24,16 36,2 | 36,50 36,98",
    "1c": "12,25 24,15 36,3 | 36,50 35,97 / 12,97 36,96 60,96",
    "1d": "48,2 34,50 20,98",
    "1e": "4,50 20,32 42,2 | 41,50 40,98",
    "2a": "8,25 20,6 42,3 56,18 52,40 30,68 4,96 | 32,96 62,95",
    "2b": "14,24 24,6 46,4 57,22 46,52 22,84 8,94 6,84 20,82 40,94 64,92",
    "2c": "6,14 30,3 56,8 | 30,50 6,94 | 36,95 64,94",
    "2d": "4,30 16,8 36,2 54,16 50,42 28,72 6,94 | 24,88 44,97 66,88",
    "2e": "12,16 34,3 52,14 48,40 24,74 8,97 | 30,95 52,99",
    "3a": "8,14 26,2 50,8 52,32 26,47 | 56,56 60,82 36,99 8,90",
    "3b": "8,4 32,5 56,4 | 40,24 28,40 | 52,50 60,74 44,96 20,97 4,84",
    "3c": "10,16 30,2 50,14 44,36 26,46 20,42 28,40 50,52 58,76 36,98 6,86",
    "3d": "12,10 38,2 56,16 48,38 24,48 | 50,50 64,72 48,95 22,98 4,88",
    "3e": "16,8 40,4 50,20 36,42 28,46 | 48,54 50,78 30,98 4,98",
    "4a": "14,4 11,40 12,58 | 36,57 62,56 / 48,6 47,50 46,98",
    "4b": "46,98 46,50 46,2 | 24,34 4,66 | 36,65 66,64",
    "4c": "18,3 8,42 20,56 56,46 / 56,4 50,50 44,98",
    "4d": "40,3 22,32 6,60 | 36,61 64,60 / 48,34 47,64 46,97",
    "4e": "10,8 8,48 | 34,50 60,46 / 52,2 52,46 54,98",
    "5a": "14,4 12,24 10,46 | 30,38 56,50 58,78 36,97 6,90 / 14,5 36,5 58,3",
    "5b": "58,4 36,5 16,6 | 14,24 12,44 | 36,38 60,58 54,86 28,98 4,88",
    "5c": "58,6 30,6 14,22 20,42 46,52 58,74 40,95 6,92",
    "5d": "16,12 14,28 12,48 | 34,42 56,56 54,84 32,98 8,94 / 24,6 44,4 62,0",
    "5e": "16,6 10,42 | 40,36 64,60 52,92 18,98 2,80 / 18,6 40,8 66,5",
    "6a": "50,4 24,24 8,58 14,88 36,98 58,84 54,60 32,54 12,70",
    "6b": "44,2 28,26 14,52 8,78 24,97 48,94 56,74 42,58 20,64 10,78",
    "6c": "58,14 44,2 20,16 5,56 14,90 40,97 60,78 50,56 26,56 10,74",
    "6d": "36,2 18,36 10,72 18,95 36,94 42,78 32,68 14,76",
    "6e": "30,2 10,40 6,74 24,98 54,92 62,68 44,50 16,60 8,72",
    "7a": "4,6 32,6 60,5 | 40,45 24,98",
    "7b": "4,6 32,5 60,6 | 44,44 26,98 / 16,50 36,49 54,48",
    "7c": "6,18 6,4 | 34,5 60,4 | 36,40 22,98",
    "7d": "4,10 20,4 40,10 62,4 | 42,36 32,98",
    "7e": "4,16 8,5 | 32,8 62,6 | 48,40 34,98 / 20,54 40,50 60,48",
    "8a": "54,16 34,2 12,14 18,36 44,54 56,78 34,98 8,84 16,58 44,40 56,22 50,10",
    "8b": "32,2 14,12 14,36 32,46 50,34 50,12 32,2 / 32,46 8,60 8,88 32,98 56,88 56,60 32,46",
    "8c": "60,8 34,4 14,20 28,42 54,64 48,92 22,97 8,76 28,50 62,14",
    "8d": "40,4 22,6 16,22 26,42 42,60 44,82 28,98 12,84 16,64 34,44 44,24 38,6",
    "8e": "50,12 30,3 10,20 24,42 52,60 60,84 34,98 6,88 14,62 42,46 54,26 48,8",
    "9a": "56,16 32,2 8,20 14,46 36,50 56,18 | 56,50 54,98",
    "9b": "54,22 34,2 10,18 12,44 36,50 54,28 56,22 54,60 40,92 10,94",
    "9c": "50,16 30,4 8,22 16,46 38,46 52,20 / 52,6 48,50 42,98",
    "9d": "58,10 30,4 10,24 18,48 42,44 58,12 | 48,48 28,98",
    "9e": "52,24 36,4 14,12 10,38 30,50 52,30 | 56,60 50,88 30,99 10,88",
}


@dataclasses.dataclass(frozen=True)
class Pen:
    """How a pen leaves its ink: sizes as fractions of the digit's height."""

    width: float
    nib: tuple[float, float] = (1.0, 0.0)  # the nib's thickness over its width, and its angle in degrees
    pressure: float = 0.08  # how much the width changes along a stroke
    taper: float = 0.0  # how much thinner a stroke is at its ends
    grain: float = 0.0  # fraction of the ink that the paper's grain leaves out
    opacity: float = 1.0


PENS = {
    "pencil": Pen(0.022, grain=0.35, opacity=0.7, pressure=0.25),
    "ball pen": Pen(0.03, opacity=0.92),
    "fountain pen": Pen(0.045, nib=(0.35, 40), pressure=0.2),
    "felt pen": Pen(0.06),
    "marker": Pen(0.115, pressure=0.04),
    "fat marker": Pen(0.16, pressure=0.04),
    "chisel marker": Pen(0.13, nib=(0.3, 45)),
    "brush": Pen(0.12, pressure=0.22, taper=0.65),
    "chalk": Pen(0.075, grain=0.45, pressure=0.15, opacity=0.93),
    "crayon": Pen(0.085, grain=0.3, opacity=0.9, pressure=0.2),
    "finger": Pen(0.1, pressure=0.02),
    "pixels": Pen(0.07, pressure=0.0),
}

BLACK, WHITE, GREY = (22, 22, 26), (244, 244, 240), (90, 90, 90)
BLUE, RED, GREEN = (28, 52, 140), (188, 30, 36), (20, 110, 60)
VIOLET, ORANGE, YELLOW = (98, 40, 130), (222, 110, 20), (250, 226, 90)


@dataclasses.dataclass(frozen=True)
class Drawing:
    """One image: what is written, with what, on what, and how it is kept."""

    what: str
    pen: str
    paper: str
    size: tuple[int, int]
    tall: float  # the digits' height over the image's
    at: tuple[float, float] = (0.5, 0.5)
    turn: float = 0.0  # degrees, clockwise
    lean: float = 0.0  # to the right, as a fraction of the height
    ink: tuple[int, int, int] = BLACK
    ground: tuple[int, int, int] = WHITE
    kind: str = "png"

    @property
    def digits(self) -> str:
        return self.what[::2]


DRAWINGS = [
    Drawing("0a", "ball pen", "plain", (280, 280), 0.6, ink=BLUE),
    Drawing("0b", "pencil", "paper", (240, 320), 0.5, (0.4, 0.55), turn=8, ink=GREY),
    Drawing("0c", "chalk", "board", (320, 240), 0.62, (0.55, 0.5), turn=-6, ink=WHITE, ground=(38, 62, 52)),
    Drawing("0d", "marker", "photo", (420, 320), 0.5, (0.45, 0.5), turn=12, kind="jpg80"),
    Drawing("0e", "finger", "plain", (200, 200), 0.7, ink=WHITE, ground=(0, 0, 0)),
    Drawing("1a", "felt pen", "paper", (260, 260), 0.55, (0.6, 0.45), turn=3, kind="jpg75"),
    Drawing("1b", "ball pen", "ruled", (300, 300), 0.36, (0.5, 0.55), lean=0.1, ink=BLUE, kind="jpg85"),
    Drawing("1c", "chisel marker", "plain", (150, 220), 0.75, ink=RED),
    Drawing("1d", "brush", "shadow", (400, 400), 0.5, (0.5, 0.5), turn=4, kind="jpg70"),
    Drawing("1e", "pixels", "bits", (64, 64), 0.8),
    Drawing("2a", "pencil", "photo", (480, 360), 0.45, (0.35, 0.6), turn=-8, ink=GREY, kind="jpg80"),
    Drawing("2b", "fountain pen", "paper", (300, 300), 0.6, lean=0.18, ink=BLUE, kind="jpg85"),
    Drawing("2c", "fat marker", "plain", (360, 360), 0.8, ink=GREEN, kind="jpg40"),
    Drawing(
        "2d", "chalk", "board", (400, 300), 0.5, (0.6, 0.45), turn=10, ink=YELLOW, ground=(30, 30, 34), kind="jpg70"
    ),
    Drawing("2e", "felt pen", "transparent", (220, 220), 0.6, (0.45, 0.5), ink=BLACK),
    Drawing("3a", "marker", "plain", (40, 40), 0.8),
    Drawing("3b", "ball pen", "photo", (640, 480), 0.3, (0.3, 0.35), turn=-12, ink=BLACK, kind="jpg75"),
    Drawing("3c", "brush", "paper", (260, 340), 0.65, turn=6, ink=VIOLET, ground=(236, 222, 190), kind="jpg85"),
    Drawing("3d", "finger", "plain", (240, 240), 0.6, (0.5, 0.55), turn=-18, ink=WHITE, ground=(18, 18, 60)),
    Drawing("3e", "pencil", "deep", (260, 260), 0.6, ink=GREY),
    Drawing("4a", "ball pen", "paper", (300, 240), 0.6, turn=5, ink=BLUE),
    Drawing("4b", "felt pen", "shadow", (480, 360), 0.5, (0.55, 0.5), turn=-5, kind="jpg75"),
    Drawing("4c", "fountain pen", "squared", (320, 320), 0.45, (0.5, 0.5), lean=0.12, ink=BLACK, kind="jpg85"),
    Drawing("4d", "marker", "transparent", (180, 260), 0.6, turn=-10, ink=WHITE),
    Drawing("4e", "chalk", "board", (300, 300), 0.65, turn=20, ink=WHITE, ground=(44, 70, 58), kind="jpg80"),
    Drawing("5a", "marker", "paper", (320, 320), 0.92, ink=RED, kind="jpg80"),
    Drawing("5b", "pencil", "paper", (300, 400), 0.35, (0.25, 0.25), turn=7, ink=GREY, kind="grey"),
    Drawing("5c", "ball pen", "photo", (400, 400), 0.5, turn=-4, lean=0.1, ink=BLUE, kind="jpg70"),
    Drawing("5d", "crayon", "plain", (280, 280), 0.6, turn=9, ink=ORANGE, kind="jpg85"),
    Drawing("5e", "finger", "plain", (128, 128), 0.75, ink=WHITE, ground=(0, 0, 0), kind="grey"),
    Drawing("6a", "felt pen", "photo", (1200, 900), 0.4, (0.6, 0.55), turn=6, kind="jpg60"),
    Drawing("6b", "chisel marker", "plain", (240, 240), 0.65, turn=-14, ink=BLUE),
    Drawing("6c", "chalk", "board", (260, 320), 0.55, (0.45, 0.55), ink=ORANGE, ground=(26, 30, 30), kind="jpg75"),
    Drawing("6d", "ball pen", "ruled", (360, 270), 0.4, (0.5, 0.5), lean=0.15, ink=BLACK, kind="jpg80"),
    Drawing("6e", "pixels", "bits", (100, 120), 0.6, (0.4, 0.5), turn=10),
    Drawing("7a", "ball pen", "plain", (50, 60), 0.7, ink=BLACK),
    Drawing("7b", "felt pen", "turned", (400, 300), 0.5, (0.5, 0.5), turn=4, kind="jpg85"),
    Drawing(
        "7c", "marker", "paper", (300, 300), 0.55, (0.6, 0.6), turn=-20, ink=BLACK, ground=(196, 164, 120), kind="jpg75"
    ),
    Drawing("7d", "brush", "plain", (240, 300), 0.7, ink=WHITE, ground=(120, 20, 40), kind="jpg80"),
    Drawing("7e", "pencil", "shadow", (420, 420), 0.45, (0.45, 0.5), turn=8, ink=GREY, kind="jpg85"),
    Drawing("8a", "ball pen", "paper", (280, 280), 0.55, lean=0.15, ink=BLUE, kind="jpg75"),
    Drawing("8b", "marker", "photo", (500, 380), 0.55, (0.5, 0.45), turn=-9, ink=RED, kind="jpg70"),
    Drawing("8c", "chalk", "board", (320, 320), 0.6, turn=5, ink=WHITE, ground=(20, 20, 22), kind="jpg60"),
    Drawing("8d", "felt pen", "plain", (200, 300), 0.3, (0.75, 0.2), ink=GREEN),
    Drawing("8e", "finger", "plain", (1000, 1000), 0.25, (0.2, 0.75), turn=12, ink=WHITE, ground=(0, 0, 0)),
    Drawing("9a", "ball pen", "squared", (300, 300), 0.5, turn=-3, ink=BLUE, kind="jpg85"),
    Drawing("9b", "fountain pen", "paper", (260, 320), 0.6, lean=0.1, ink=BLACK, ground=(250, 244, 224), kind="jpg85"),
    Drawing("9c", "fat marker", "photo", (360, 480), 0.6, turn=10, ink=BLACK, kind="jpg70"),
    Drawing("9d", "crayon", "paper", (300, 300), 0.6, turn=-16, ink=VIOLET, kind="jpg80"),
    Drawing("9e", "pencil", "photo", (900, 1200), 0.3, (0.5, 0.5), turn=5, ink=GREY, kind="jpg55"),
    Drawing("1b9a8a4b", "ball pen", "paper", (640, 220), 0.5, ink=BLUE, kind="jpg80"),
    Drawing("2a0a7b", "marker", "plain", (420, 200), 0.6, turn=3),
    Drawing("3d6a5b", "chalk", "board", (480, 240), 0.5, turn=-3, ink=WHITE, ground=(38, 62, 52), kind="jpg75"),
    Drawing("9b0d2d1d0b", "felt pen", "photo", (900, 300), 0.35, (0.5, 0.5), kind="jpg65"),
    Drawing("4d7a", "finger", "plain", (300, 180), 0.6, ink=WHITE, ground=(0, 0, 0)),
]


def smooth(points: np.ndarray, steps: int = 40) -> np.ndarray:
    """A Catmull-Rom curve through points (N, 2), with the ends doubled."""
    p = np.concatenate([points[:1], points, points[-1:]])
    t = np.linspace(0, 1, steps, endpoint=False)[:, None]
    parts = []
    for a, b, c, d in zip(p[:-3], p[1:-2], p[2:-1], p[3:], strict=True):
        parts.append(0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * (b - c) + d - a) * t**3))
    return np.concatenate([*parts, points[-1:]])


def strokes(glyph: str, rng: np.random.Generator) -> list[np.ndarray]:
    """The pen's ways in units of the height, each point a little beside where it was meant to be."""
    ways = []
    for stroke in glyph.split("/"):
        parts, last = [], None
        for part in stroke.split("|"):
            points = np.array([[float(n) for n in pair.split(",")] for pair in part.split()]) / 100
            points = points + rng.normal(0, 0.013, points.shape)
            if last is not None:
                points = np.concatenate([last[None], points])
            parts.append(smooth(points))
            last = points[-1]
        ways.append(np.concatenate(parts))
    return ways


def placed(drawing: Drawing, rng: np.random.Generator) -> tuple[list[np.ndarray], float]:
    """(the ways in pixels, the digits' height in pixels): leaned, turned, side by side, about the place named."""
    height = drawing.tall * drawing.size[1]
    ways, x = [], 0.0
    for name in (drawing.what[i : i + 2] for i in range(0, len(drawing.what), 2)):
        glyph = strokes(GLYPHS[name], rng)
        stretch = rng.uniform(0.9, 1.12)
        points = np.concatenate(glyph)
        left, right = points[:, 0].min() * stretch, points[:, 0].max() * stretch
        ways += [way * (stretch, 1) + (x - left, rng.normal(0, 0.015)) for way in glyph]
        x += right - left + rng.uniform(0.2, 0.34)
    points = np.concatenate(ways)
    middle = (points.min(0) + points.max(0)) / 2
    c, s = np.cos(np.radians(drawing.turn)), np.sin(np.radians(drawing.turn))
    matrix = height * np.array([[c, -s], [s, c]]) @ np.array([[1, -drawing.lean], [0, 1]])
    return [(way - middle) @ matrix.T + np.array(drawing.at) * drawing.size for way in ways], height


def resampled(way: np.ndarray, distance: float) -> np.ndarray:
    """Points at equal distances along a way."""
    length = np.r_[0, np.cumsum(np.hypot(*np.diff(way, axis=0).T))]
    at = np.linspace(0, length[-1], max(2, int(length[-1] / distance)))
    return np.stack([np.interp(at, length, way[:, i]) for i in (0, 1)], 1)


def clouds(shape: tuple[int, int], cell: float, rng: np.random.Generator) -> np.ndarray:
    """Smooth noise (H, W) of standard deviation about 1, whose spots are `cell` pixels wide."""
    small = rng.normal(size=[max(2, round(n / cell)) for n in shape]).astype(np.float32)
    return np.asarray(Image.fromarray(small).resize(shape[::-1], Image.Resampling.BICUBIC))


def inked(drawing: Drawing, rng: np.random.Generator) -> np.ndarray:
    """(H, W) in 0..1: where the ink is."""
    pen, (width, height) = PENS[drawing.pen], drawing.size
    fine = 1 if drawing.paper == "bits" else 3 if max(drawing.size) < 600 else 2
    mask = Image.new("L", (fine * width, fine * height))
    draw = ImageDraw.Draw(mask)
    ways, tall = placed(drawing, rng)
    for way in ways:
        points = resampled(fine * way, max(1.0, fine * tall * pen.width / 12))
        t = np.linspace(0, 1, len(points))
        force = 1 + pen.pressure * np.interp(t, np.linspace(0, 1, 7), rng.normal(size=7))
        force *= 1 - pen.taper * (2 * np.abs(t - 0.45)) ** 3
        for (x, y), r in zip(points, np.maximum(force, 0.25) * fine * tall * pen.width / 2, strict=True):
            draw.polygon(nib(x, y, max(r, 0.5), *pen.nib), fill=255)
    ink = np.asarray(mask.resize(drawing.size, Image.Resampling.BOX), np.float32) / 255
    if pen.grain:
        grain = clouds(ink.shape, max(1.0, tall * 0.012), rng) + clouds(ink.shape, 1, rng)
        ink = ink * (1 - np.clip(grain - 1.9 * (0.75 - pen.grain) + 0.6, 0, 1))
    return pen.opacity * ink


def nib(x: float, y: float, r: float, thickness: float, angle: float) -> list[tuple[float, float]]:
    """The outline of the nib: an ellipse that does not turn with the stroke."""
    a, turn = np.radians(angle), np.linspace(0, 2 * np.pi, 20, endpoint=False)
    u, v = r * np.cos(turn), r * thickness * np.sin(turn)
    return list(zip(x + u * np.cos(a) + v * np.sin(a), y - u * np.sin(a) + v * np.cos(a), strict=True))


def sheet(drawing: Drawing, rng: np.random.Generator) -> np.ndarray:
    """(H, W, 3) in 0..255: what is written on."""
    (width, height), shape = drawing.size, drawing.size[::-1]
    ground = np.ones((*shape, 3), np.float32) * np.array(drawing.ground, np.float32)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    if drawing.paper in ("paper", "photo", "shadow", "ruled", "squared", "turned"):
        ground += 1.6 * rng.normal(size=(*shape, 1)) + 2.0 * clouds(shape, 12, rng)[..., None]
    if drawing.paper == "board":
        ground += 5 * clouds(shape, 40, rng)[..., None] + 3 * clouds(shape, 6, rng)[..., None]
    if drawing.paper in ("ruled", "squared"):
        apart = height / 9
        lines = (y + 0.3 * apart) % apart < 1.4
        if drawing.paper == "squared":
            lines |= (x + 0.6 * apart) % apart < 1.4
        ground[lines] = ground[lines] * 0.35 + 0.65 * np.array((168, 192, 226))
    return ground


def light(drawing: Drawing, rng: np.random.Generator) -> np.ndarray:
    """(H, W, 3), about 1: how bright each place is, and in what color."""
    width, height = drawing.size
    y, x = np.mgrid[:height, :width].astype(np.float32)
    if drawing.paper not in ("photo", "shadow", "turned", "board"):
        return np.ones((height, width, 3), np.float32)
    angle, strength = rng.uniform(0, 2 * np.pi), 0.15 if drawing.paper == "board" else rng.uniform(0.2, 0.32)
    u, v = x / width - 0.5, y / height - 0.5
    bright = 0.82 + strength * (u * np.cos(angle) + v * np.sin(angle)) - 0.35 * (u**2 + v**2)
    if drawing.paper == "shadow":
        edge = u * np.cos(angle + 1) + v * np.sin(angle + 1) + 0.05 * np.sin(9 * v) + 0.08
        bright = bright * (1 - 0.4 / (1 + np.exp(-edge * 60)))
    return bright[..., None] * np.array((1.02, 1.0, rng.uniform(0.86, 0.97)), np.float32)


def draw(drawing: Drawing, seed: int) -> Image.Image:
    """The finished image."""
    rng = np.random.default_rng(seed)
    ink = inked(drawing, rng)
    if drawing.paper == "transparent":
        color = np.ones((*ink.shape, 3)) * drawing.ink
        return Image.fromarray(np.dstack([color, 255 * ink]).round().astype(np.uint8), "RGBA")
    if drawing.paper == "bits":
        return Image.fromarray(ink <= 0.5).convert("1")
    page = sheet(drawing, rng) * (1 - ink[..., None]) + ink[..., None] * np.array(drawing.ink, np.float32)
    page = page * light(drawing, rng)
    if drawing.paper == "deep":
        return Image.fromarray((np.clip(page.mean(-1), 0, 255) * 257).round().astype(np.uint16))
    if drawing.paper in ("photo", "shadow", "turned"):
        page += 1.5 * rng.normal(size=page.shape)
    image = Image.fromarray(np.clip(page, 0, 255).round().astype(np.uint8))
    if drawing.paper in ("photo", "shadow", "turned"):
        image = image.filter(ImageFilter.GaussianBlur(0.7))
    return image


def keep(drawing: Drawing, image: Image.Image, stem: Path) -> Path:
    """Write the image as its kind says; a `turned` one lies on its side, and its EXIF says so."""
    if not drawing.kind.startswith("jpg"):
        path = stem.with_suffix(".png")
        (image.convert("L") if drawing.kind == "grey" else image).save(path, optimize=True)
        return path
    options: dict = {"quality": int(drawing.kind[3:])}
    if drawing.paper == "turned":
        image, options["exif"] = image.transpose(Image.Transpose.ROTATE_90), Image.Exif()
        options["exif"][0x0112] = 6  # to be shown turned clockwise by 90 degrees
    path = stem.with_suffix(".jpg")
    image.save(path, **options)
    return path


def redealt(seed: int) -> list[Drawing]:
    """The single digits six times over, each with the pen, paper and place of another, turned by up to 20 degrees."""
    rng = np.random.default_rng(seed)
    single = [drawing for drawing in DRAWINGS if len(drawing.digits) == 1]
    return [
        dataclasses.replace(single[other], what=drawing.what, turn=round(rng.uniform(-20, 20)))
        for _ in range(6)
        for drawing, other in zip(single, rng.permutation(len(single)), strict=True)
    ]


def main(folder: Path, seed: int = 0) -> None:
    """Write the images and labels.csv; with a seed, 300 others that nobody has looked at."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "labels.csv").open("w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["file", "digits", "pen", "paper", "width", "height", "degrees", "ink"])
        for number, drawing in enumerate(redealt(seed) if seed else DRAWINGS, 1):
            path = keep(drawing, draw(drawing, 1000 * seed + number), folder / f"{number:02d}")
            light_ink = drawing.paper != "transparent" and sum(drawing.ink) > sum(drawing.ground)
            polarity = "light" if light_ink or drawing.ink == WHITE else "dark"
            rows.writerow(
                [path.name, drawing.digits, drawing.pen, drawing.paper, *drawing.size, drawing.turn, polarity]
            )


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
