"""What a type checker makes of a user's script: typical calls pass, typical mistakes do not."""

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def expected(file):
    """{(line, rule)} of the lines that are marked `# error: rule`."""
    lines = enumerate((HERE / file).read_text(encoding="utf-8").splitlines(), start=1)
    return {(number, found[1]) for number, line in lines if (found := re.search(r"# error: (\w+)$", line))}


@pytest.fixture(scope="module")
def found():
    """{file: {(line, rule)}} of everything that pyright says about the two scripts."""
    if importlib.util.find_spec("pyright") is None:
        pytest.skip("pyright is not installed: pip install --group dev")
    command = [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, "--outputjson"]
    files = ["accepted.py", "refused.py"]
    done = subprocess.run([*command, *(HERE / f for f in files)], cwd=ROOT, capture_output=True, text=True, check=False)
    report = json.loads(done.stdout)
    assert report["summary"]["filesAnalyzed"] == len(files), done.stdout
    said = {file: set() for file in files}
    for one in report["generalDiagnostics"]:
        said[Path(one["file"]).name].add((one["range"]["start"]["line"] + 1, one.get("rule", one["message"])))
    return said


def test_typical_calls_are_accepted(found):
    assert found["accepted.py"] == set()


def test_typical_mistakes_are_refused_and_nothing_else(found):
    assert found["refused.py"] == expected("refused.py")
