"""Print the n-th fenced block of a language in README.md: `python3 .ci/readme.py sh 1`; `all` prints every one."""

import re
import sys
from pathlib import Path

language, which = sys.argv[1:]
text = (Path(__file__).parents[1] / "README.md").read_text()
blocks = re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
print("\n".join(blocks) if which == "all" else blocks[int(which) - 1])
