"""The lessons of the course say what their code prints: blocks are run word for word, and their numbers compared.

The tolerance is `pages.TOLERANCE`, two units of the last digit that a page shows.
"""

import importlib
import re
import shlex

import jax
import pytest
import tyro

from experiments import table
from experiments.course import pages

pytestmark = pytest.mark.usefixtures("optimized")

README = pages.HERE.parent / "README.md"
EACH_PAGE = pytest.mark.parametrize("page", pages.PAGES, ids=lambda page: page.stem)
LONG = ("04", "06", "08", "10", "15")  # lessons of several seconds
QUICK_PAGES = [pytest.param(p, marks=pytest.mark.slow if p.stem[:2] in LONG else (), id=p.stem) for p in pages.PAGES]


@pytest.fixture
def as_typed():
    """What a reader has who types the code: JAX's own rules of promotion."""
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        yield


def run_and_compare(page, folder, slow):
    """Run the blocks; every one that prints is followed by what it prints. Returns the figures that were drawn."""
    for block, printed in pages.run(page, folder, slow=slow):
        assert (block.output is None) == (not printed), f"{page.name}:{block.line}: prints {printed!r}"
        if block.output is not None:
            pages.compare(block.output, printed)
    return {file.name for file in folder.glob("*.png")}


def has_slow_blocks(page):
    return any(block.slow for block in pages.blocks(page.read_text(encoding="utf-8")))


def figures_of_the_code(page):
    """Names of the figures that a page shows and its own code draws."""
    return {name.partition("/")[2] for name in pages.figures(page.read_text("utf-8")) if name.startswith("figures/")}


@pytest.mark.parametrize("page", QUICK_PAGES)
def test_a_lesson_prints_what_it_says(page, tmp_path, as_typed):
    drawn = run_and_compare(page, tmp_path, slow=False)
    if not has_slow_blocks(page):
        assert drawn == figures_of_the_code(page)


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in pages.PAGES if has_slow_blocks(page)], ids=lambda page: page.stem)
def test_a_lesson_with_slow_blocks_prints_what_it_says(page, tmp_path, as_typed):
    assert run_and_compare(page, tmp_path, slow=True) == figures_of_the_code(page)


@EACH_PAGE
def test_measured_numbers_are_those_of_the_results_files(page):
    text = page.read_text(encoding="utf-8")
    for said, measured in pages.result_links(text):
        assert said == measured
    assert not re.search(r"\[[^\]]*\]\(\.\./results/\w+\.json\)", text), "a results file is linked without a result"


@EACH_PAGE
def test_numbers_of_the_prose_are_printed_somewhere_on_the_page(page):
    assert pages.unfounded(page.read_text(encoding="utf-8"), pages.GIVEN.get(page.stem[:2], ())) == []


@EACH_PAGE
def test_figures_exist_and_scripts_take_the_commands(page):
    text = page.read_text(encoding="utf-8")
    for figure in pages.figures(text):
        assert (page.parent / figure).is_file(), figure
    for command in pages.commands(text):
        _, _, module, *arguments = shlex.split(command.partition("#")[0])
        tyro.cli(importlib.import_module(module).Config, args=arguments)


@EACH_PAGE
def test_a_lesson_has_what_a_lesson_has(page):
    """A question, code or a command, an exercise with its answer folded away, where to go on."""
    text = page.read_text(encoding="utf-8")
    assert re.match(r"# \d+\. [^\n]+\n\n\*\*[^*]+\?\*\*\n\n", text), "a title and a question come first"
    assert pages.blocks(text)
    assert text.count("## Exercise") == text.count("<details>") == text.count("</details>") >= 1
    assert "## Where to go on" in text
    for link in re.findall(r"\]\((?!http)([^)#\s]+)", text):
        assert (page.parent / link).exists(), link


def test_the_first_page_links_every_lesson_in_order():
    linked = re.findall(r"\(course/(\w+\.md)\)", README.read_text(encoding="utf-8"))
    assert list(dict.fromkeys(linked)) == [page.name for page in pages.PAGES]


# --- the test is tested ---


def changed(number):
    """The number with three more in its last digit; whole numbers that have to be exact, with one more."""
    mantissa, e, exponent = number.partition("e")
    decimals = len(mantissa.partition(".")[2])
    return f"{pages.value(mantissa) + 3 * 10**-decimals:.{decimals}f}{e}{exponent}"


@EACH_PAGE
def test_a_changed_number_is_found(page):
    text = page.read_text(encoding="utf-8")
    outputs = [block.output for block in pages.blocks(text) if block.output is not None]
    for output in outputs:
        pages.compare(output, output.replace(pages.ANY, "1.5"))
        for match in pages._NUMBER.finditer(output):
            wrong = output[: match.start()] + changed(match[0]) + output[match.end() :]
            with pytest.raises(pages.Mismatch):
                pages.compare(wrong, output.replace(pages.ANY, "1.5"))
    for said, measured in pages.result_links(text):
        for number in pages._NUMBER.findall(said):
            assert said.replace(number, changed(number)) != measured


def test_a_wrong_page_fails(tmp_path):
    page = tmp_path / "01_page.md"
    code, output = "x = 0.25\nprint('x', x, 3, 7 * x)\n", "x 0.25 3 1.75\n"
    right = f"# A\n\n```python\n{code}```\n\n```text\n{output}```\n\nIt is 0.25, or 25 %.\n"
    page.write_text(right)
    run_and_compare(page, tmp_path, slow=False)
    assert pages.unfounded(right) == []
    assert pages.unfounded(right + "And 0.26, or 1,796 of 1,797; 12, 13.", (12,)) == ["0.26", "1,796", "13"]
    for a, b in (("0.25 3", "0.28 3"), ("3 1.75", "4 1.75"), ("text\nx", "text\ny"), ("1.75", "1.75 1")):
        page.write_text(right.replace(a, b))
        with pytest.raises(pages.Mismatch):
            run_and_compare(page, tmp_path, slow=False)
    page.write_text(right.replace("text\nx 0.25 3 1.75", "sh\n"))
    with pytest.raises(AssertionError, match="prints"):
        run_and_compare(page, tmp_path, slow=False)


@pytest.mark.parametrize(
    ("said", "printed", "same"),
    [
        ("0.253", "0.255", True),
        ("0.253", "0.256", False),
        ("97 %", "98 %", True),
        ("97 of 100", "98 of 100", False),
        ("1.0e-07", "1.2e-07", True),
        ("1.0e-07", "1.4e-07", False),
        ("-0.00", "0.00", True),
        ("1,000", "1000", True),
        ("… s", "0.31 s", True),
        ("nan", "inf", False),
    ],
)
def test_what_agrees(said, printed, same):
    if same:
        pages.compare(said, printed)
    else:
        with pytest.raises(pages.Mismatch):
            pages.compare(said, printed)


def test_a_linked_result_that_is_not_there_is_an_error():
    with pytest.raises(pages.Mismatch, match="no result 'nothing'"):
        pages.result_links('[1](../results/xor.json "nothing")')


def test_the_table_has_all_rows_in_the_order_of_the_course():
    kept = [path.stem for path in table.in_order(pages.HERE.parent / "results")]
    assert set(table.ORDER) <= set(kept)
    assert kept[: len(table.ORDER)] == list(table.ORDER)
