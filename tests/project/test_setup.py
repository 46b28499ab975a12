"""`make setup` and the words of the Makefile."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from scripts import make_venv
from tests.support.origin import PROJECT


@pytest.mark.parametrize("version", [(3, 9), (3, 14)])
def test_unsupported_python_is_refused_with_the_next_step(version: tuple[int, int]) -> None:
    """Set-up says which Python it found, which it needs and what to type."""
    with pytest.raises(SystemExit, match=r"(?s)3\.10 to 3\.13 is needed.*Next step: .*make setup PYTHON=") as caught:
        make_venv.check_python(version, "/usr/bin/python3")
    assert f"/usr/bin/python3 is {version[0]}.{version[1]}" in str(caught.value)


def test_environment_made_elsewhere_does_not_count(tmp_path: Path) -> None:
    """A copied or half-made environment is made again instead of used."""
    assert make_venv.works(Path(sys.prefix) / "bin" / "python")
    assert not make_venv.works(tmp_path / "bin" / "python")

    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    (tmp_path / "bin" / "pip").write_text("#!/somewhere/else/bin/python\n")
    assert not make_venv.works(tmp_path / "bin" / "python")


def test_make_lists_every_word_with_what_it_does() -> None:
    """`make` alone is the help, one line a word, also when another `make` runs these tests."""
    make = ["make", "--no-print-directory"]
    listed = subprocess.run(make, cwd=PROJECT, capture_output=True, check=True, text=True).stdout.splitlines()
    words = re.search(r"^\.PHONY: (.*) \.FORCE$", (PROJECT / "Makefile").read_text(), re.MULTILINE)
    assert words
    assert {line.split()[1]: len(line.split()) > 3 for line in listed} == dict.fromkeys(words[1].split(), True)
