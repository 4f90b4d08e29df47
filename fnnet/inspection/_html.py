"""Tables for notebooks."""

from collections.abc import Iterable, Sequence
from html import escape


def html_table(caption: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """An HTML table of texts, which are escaped; leading spaces indent."""

    def line(tag: str, cells: Sequence[str]) -> str:
        shown = (escape(cell).replace("  ", "&nbsp;&nbsp;") for cell in cells)
        return "<tr>" + "".join(f"<{tag} style='text-align:left'>{cell}</{tag}>" for cell in shown) + "</tr>"

    body = "".join(line("td", row) for row in rows)
    return f"<table><caption>{escape(caption)}</caption>{line('th', header)}{body}</table>"
