"""The lessons as programs: a page's Python blocks run in order, and what they print is what the page says they print.

    ```python           a block; all blocks of a page share one namespace
    ```python slow      a block that takes longer than a reader's patience; blocks after it may depend on it
    ```text             directly after a block: what it prints. … stands for a time, which no two machines share
    ```sh               commands, whose numbers are not typed on the page but linked:
    [97.8 % ± 0.1 (5 seeds)](../results/schedules_mnist.json "test accuracy, cosine, from 0.4")

A number printed again may differ from the page's by TOLERANCE units of its last digit; whole numbers have to be equal,
unless they are percentages. A decimal number in the prose, or one of 10 and more, has to be one that the page's code,
output or links contain, the size of a data set, or one that the page gives.
"""

import contextlib
import io
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from experiments.results_file import read

HERE = Path(__file__).parent
PAGES = sorted(HERE.glob("[0-9]*.md"))
TOLERANCE = 2
"""Units of the last digit that a page shows: 0.2531 and 0.2533 agree, 0.2531 and 0.2534 do not."""

SIZES = (1797, 70_000, 28, 60_000, 42_000, 1000, 32_033)
"""Of the embedded digits, MNIST and its images, its training images, Kaggle's table and its dev rows, and the names."""

GIVEN = {
    "01": (15, 5),
    "04": (16, 256),
    "05": (0.99, 0.01),
    "08": (64,),
    "09": (12, 9, 11),
    "14": (24, 15, 360),
}
"""Numbers that a page gives in a sentence: weights of an answer, usual sizes, errors of an exercise, a count."""

ANY = "…"
_FENCE = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NUMBER = re.compile(r"(?<![\w.])[-+−]?\d(?:[\d,]*\d)?(?:\.\d+)?(?:e[-+]?\d+)?(?!\w)")
_LINK = re.compile(r"\[([^\]]+)\]\(\.\./results/(\w+)\.json \"([^\"]+)\"\)")
_FIGURE = re.compile(r"!\[[^\]]*\]\(([^)]+)\)")


class Block(NamedTuple):
    """A fenced block: its language, whether it is marked slow, its text, its first line, and what follows it."""

    language: str
    slow: bool
    text: str
    line: int
    output: str | None


class Mismatch(AssertionError):
    """A page says something else than its code."""


def blocks(page: str) -> list[Block]:
    """The fenced blocks of a page in order; an `output` is the text block right after a Python block."""
    found = list(_FENCE.finditer(page))
    result = []
    for i, match in enumerate(found):
        following = found[i + 1] if i + 1 < len(found) else None
        is_next = following and following[1] == "text" and not page[match.end() : following.start()].strip()
        line = page.count("\n", 0, match.start()) + 2
        output = following[3] if following and is_next and match[1] == "python" else None
        result.append(Block(match[1], "slow" in match[2].split(), match[3], line, output))
    return result


def run(page: Path, folder: Path, *, slow: bool) -> Iterator[tuple[Block, str]]:
    """Run the Python blocks inside a folder, which gets the figures; yield each with what it printed.

    slow   also those marked so; otherwise the page ends at the first of them
    """
    namespace: dict[str, Any] = {"__name__": "lesson"}
    for block in blocks(page.read_text(encoding="utf-8")):
        if block.language != "python":
            continue
        if block.slow and not slow:
            return
        printed, code = io.StringIO(), "\n" * (block.line - 1) + block.text
        with contextlib.redirect_stdout(printed), _inside(folder):
            exec(compile(code, str(page), "exec"), namespace)
        yield block, printed.getvalue()


@contextlib.contextmanager
def _inside(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def compare(said: str, printed: str) -> None:
    """Raise Mismatch unless the words are the same and the numbers agree within TOLERANCE."""
    ours, theirs = _NUMBER.findall(said.replace(ANY, " 0 ")), _NUMBER.findall(printed)
    if _words(said.replace(ANY, " 0 ")) != _words(printed) or len(ours) != len(theirs):
        raise Mismatch(f"the page says\n{said}\nand its code prints\n{printed}")
    free = [match == ANY for match in re.findall(rf"{ANY}|{_NUMBER.pattern}", said)]
    percent = [said[m.end() :].lstrip(" ").startswith("%") for m in re.finditer(rf"{ANY}|{_NUMBER.pattern}", said)]
    for a, b, is_free, is_percent in zip(ours, theirs, free, percent, strict=True):
        if not is_free and not agree(
            a, b, TOLERANCE if is_percent or not a.lstrip("+-−").replace(",", "").isdigit() else 0
        ):
            raise Mismatch(f"the page says {a}, its code prints {b}, in\n{printed}")


def agree(said: str, printed: str, units: int = TOLERANCE) -> bool:
    """Whether two numbers differ by at most so many units of the last digit of the first."""
    a, b = value(said), value(printed)
    return abs(a - b) <= (units + 1e-6) * unit(said) if units else a == b


def value(number: str) -> float:
    """What a number on a page means."""
    return float(number.replace(",", "").replace("−", "-"))


def unit(number: str) -> float:
    """What one more in the last digit is: 0.01 for 1.25, 1e-9 for 2.5e-8."""
    mantissa, _, exponent = number.partition("e")
    return 10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2]))


def _words(text: str) -> list[str]:
    return _NUMBER.sub(" # ", text).split()


def result_links(page: str) -> list[tuple[str, str]]:
    """(what the page says, what the results file says) for every number that is linked."""
    return [(said, str(_result(file, key))) for said, file, key in _LINK.findall(page)]


def _result(file: str, key: str) -> Any:
    found = read(HERE.parent / "results" / f"{file}.json")
    if found is None or key not in found["results"]:
        raise Mismatch(f"{file}.json has no result {key!r}")
    return found["results"][key]


def _words_of(file: str) -> str:
    """What a results file says about its network, and about what the author of it reports."""
    found = read(HERE.parent / "results" / f"{file}.json") or {}
    return f"{found.get('network', '')} {found.get('author', '')}"


def commands(page: str) -> list[str]:
    """The lines of the sh blocks that run a script."""
    lines = [line for block in blocks(page) if block.language == "sh" for line in block.text.splitlines()]
    return [line for line in lines if line.startswith("python -m ")]


def figures(page: str) -> list[str]:
    """Images that the page shows, relative to it."""
    return _FIGURE.findall(page)


def unfounded(page: str, given: tuple[int, ...] = ()) -> list[str]:
    """Numbers of the prose from 10, and decimals, that stand in no block, no linked result, no name or file of one."""
    linked = [(said, key, _words_of(file)) for said, file, key in _LINK.findall(page)]
    shown = " ".join([*(block.text for block in blocks(page)), *(" ".join(words) for words in linked)])
    known = [*SIZES, *given, *(value(number) for number in _NUMBER.findall(shown))]
    prose = _LINK.sub("", _FENCE.sub("", page))
    prose = re.sub(r"\]\([^)]*\)|\[Lesson \d+|\[lesson \d+|^# \d+", "]", prose)
    numbers = [number for number in _NUMBER.findall(prose) if "." in number or abs(value(number)) >= 10]
    return [n for n in numbers if not any(_is_rounded(value(n), unit(n), k) for k in known)]


def _is_rounded(number: float, unit: float, exact: float) -> bool:
    """Whether the number is the exact one, or a hundred times it (a percentage), without sign and rounded."""
    return any(abs(abs(number) - abs(k)) <= 0.501 * unit for k in (exact, 100 * exact))


def rewritten(page: Path, folder: Path, *, slow: bool) -> str:
    """The page with what its code prints now, and with the results that its links name."""
    text = page.read_text(encoding="utf-8")
    for block, printed in run(page, folder, slow=slow):
        if block.output is not None and ANY not in block.output:
            text = text.replace(
                f"{block.text}```\n\n```text\n{block.output}```", f"{block.text}```\n\n```text\n{printed}```"
            )
    return _LINK.sub(lambda m: f'[{_result(m[2], m[3])}](../results/{m[2]}.json "{m[3]}")', text)
