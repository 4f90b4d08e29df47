"""Run the lessons: their code, word for word, from the pages; draw their figures again.

python -m experiments.course              all of them
python -m experiments.course 03 07        some
python -m experiments.course --write 03   and put what is printed, and what the results files say, into the page
"""

import dataclasses
from typing import Annotated

import tyro

from experiments import command_line
from experiments.course.pages import ANY, HERE, PAGES, compare, rewritten, run


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
        if config.write:
            page.write_text(rewritten(page, HERE / "figures", slow=config.slow), encoding="utf-8")
            continue
        for block, printed in run(page, HERE / "figures", slow=config.slow):
            if block.output is not None:
                compare(block.output, printed)
                print(block.output if ANY not in block.output else printed)


if __name__ == "__main__":
    command_line.run(main, Config, __doc__)
