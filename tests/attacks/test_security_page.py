"""docs/security.md says which test tries what."""

from __future__ import annotations

import ast
import re

from tests.support.origin import PROJECT

TEXT = (PROJECT / "docs" / "security.md").read_text(encoding="utf-8")


def test_every_test_that_is_named_exists() -> None:
    """A table of tests that were renamed would promise what nobody looks at."""
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", TEXT)
    assert len(named) > 40
    functions = {
        path: {node.name for node in ast.parse((PROJECT / path).read_text()).body if isinstance(node, ast.FunctionDef)}
        for path in {path for path, _ in named}
    }
    assert [f"{path}::{name}" for path, name in named if name not in functions[path]] == []


def test_every_attack_is_told_of() -> None:
    """Whoever reads the page shall find each file of attacks."""
    for path in (PROJECT / "tests" / "attacks").glob("test_*.py"):
        assert path.name in TEXT or path.name == "test_security_page.py"
