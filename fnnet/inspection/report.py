"""What the gradient checker found: every comparison, as a table with the failures in words."""

from html import escape
from typing import NamedTuple

from fnnet.inspection._html import html_table


class Check(NamedTuple):
    """One comparison.

    tensor   what was compared, `params[0].w` or `x`; with its shape
    mode     "prediction" (no key) or "training" (with the key)
    against  what it was compared with
    error, limit, passed   see `fnnet.inspection.gradient_checker`
    note     for a failure: where, both values, and what to do
    """

    tensor: str
    shape: tuple[int, ...]
    mode: str
    against: str
    error: float
    limit: float
    passed: bool
    note: str = ""


class Vacuity(NamedTuple):
    """Something that the comparisons say nothing about.

    what    a tensor whose gradient is 0 or the same everywhere, so that many wrong formulas give it, too; or a branch
            of forward of which the inputs took one side only, `Relu.forward: maximum`
    mode    "prediction" (no key) or "training" (with the key)
    note    what was seen, and what to do
    reason  why it must be so, from `expected_zero` or `expected_one_sided`; None where nobody expected it
    """

    what: str
    mode: str
    note: str
    reason: str | None = None


class Report(NamedTuple):
    """All comparisons of one subject; `print` shows a table, with one row per tensor and one column per reference."""

    subject: str
    checks: tuple[Check, ...]
    left_out: tuple[str, ...]
    vacuous: tuple[Vacuity, ...] = ()

    @property
    def failed(self) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if not check.passed)

    @property
    def unexpected(self) -> tuple[Vacuity, ...]:
        """What the comparisons say nothing about, though nobody said why."""
        return tuple(vacuity for vacuity in self.vacuous if vacuity.reason is None)

    def raise_if_failed(self) -> "Report":
        """The report itself, or AssertionError with the table, every failure's worst entry, and what shows nothing."""
        if self.failed or self.unexpected:
            raise AssertionError(str(self))
        return self

    def worst(self, against: str) -> float:
        """The largest error among the comparisons with `against`, NaN if there was none."""
        return max((check.error for check in self.checks if check.against == against), default=float("nan"))

    def __repr__(self) -> str:
        return f"Report({self.subject}: {self._outcome()})"

    def __str__(self) -> str:
        header, *rows = table = self._table()
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in (header, *rows)]
        return "\n".join([self.subject, *lines, *self._texts(), self._outcome()])

    def _repr_html_(self) -> str:
        header, *rows = self._table()
        texts = "".join(f"<p>{escape(text)}</p>" for text in self._texts())
        return html_table(f"{self.subject}: {self._outcome()}", header, rows) + texts

    def _table(self) -> list[tuple[str, ...]]:
        """A header, the limits, and a row for each tensor: its error against each reference, `!` where it failed."""
        columns = list(dict.fromkeys(check.against for check in self.checks))
        limits = {check.against: f"{check.limit:.0e}" for check in self.checks}
        cells = {(c.tensor, c.shape, c.mode): {} for c in self.checks}
        for c in self.checks:
            cells[c.tensor, c.shape, c.mode][c.against] = f"{c.error:.1e}" + ("" if c.passed else " !")
        rows = [("tensor", "shape", "mode", *columns, ""), ("limit", "", "", *(limits[c] for c in columns), "")]
        for (tensor, shape, mode), errors in cells.items():
            verdict = "FAILED" if any(cell.endswith("!") for cell in errors.values()) else "ok"
            rows.append((tensor, str(shape), mode, *(errors.get(c, "-") for c in columns), verdict))
        return rows

    def _texts(self) -> list[str]:
        failed = [f"FAILED {c.tensor} against {c.against} ({c.mode}): {c.note}" for c in self.failed]
        vacuous = [f"SHOWS NOTHING {v.what} ({v.mode}): {v.note}" for v in self.unexpected]
        expected = [f"expected {v.what} ({v.mode}): {v.reason}" for v in self.vacuous if v.reason is not None]
        return [*failed, *vacuous, *expected, *(f"left out: {text}" for text in self.left_out)]

    def _outcome(self) -> str:
        outcome = f"{len(self.failed)} of {len(self.checks)} comparisons failed"
        return outcome + (f", {len(self.unexpected)} show nothing" if self.unexpected else "")
