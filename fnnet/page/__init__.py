"""A page that answers: one HTML file with a network in it, to draw on, to look into and to teach.

    fnnet.export_page(model, params, "digit.html")

Everything is in the file, and it asks for nothing else: it works from the disk, and on any static host. The
mathematics in it (`layers/dense.js` and so on) mirrors the Python file of the same name, so the two may be read side
by side; a test compares every number with `fnnet.trace`.
"""

from fnnet.page._export import export_page

__all__ = ["export_page"]
