"""Run the lessons: their code, word for word, from the pages; draw their figures again.

python -m experiments.course              all of them
python -m experiments.course 03 07        some
python -m experiments.course --write 03   and put what is printed, and what the results files say, into the page
"""

import dataclasses
import shutil
import tempfile
from pathlib import Path
from typing import Annotated

import tyro

from experiments import command_line
from experiments.course.pages import HERE, PAGES, compare, rewritten, run


@dataclasses.dataclass(frozen=True)
class Config:
    """Which lessons, and what to do with what they print."""

    lessons: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """Numbers of lessons, such as 03; without any, all."""
    write: bool = False
    """Replace what the page says is printed; otherwise a difference is an error."""
    slow: bool = True
    """Also run the blocks that take longer."""


def main(config: Config) -> None:
    chosen = [page for page in PAGES if not config.lessons or page.name.startswith(config.lessons)]
    for page in chosen:
        print(page.stem, flush=True)
        with tempfile.TemporaryDirectory() as folder:
            lesson(page, Path(folder), config)
            for figure in Path(folder).glob("*.png"):
                shutil.copy(figure, HERE / "figures")


def lesson(page: Path, folder: Path, config: Config) -> None:
    """Run one page inside a folder; print what it prints, or write it into the page."""
    if config.write:
        page.write_text(rewritten(page, folder, slow=config.slow), encoding="utf-8")
        return
    for block, printed in run(page, folder, slow=config.slow):
        if block.output is not None:
            compare(block.output, printed)
            print(printed)


if __name__ == "__main__":
    command_line.run(main, Config, __doc__)
