"""Settings of the documentation: ``make docs`` builds it without a network and without warnings."""

import os
import re
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import relaxppl

project = "relaxppl"
author = "the relaxppl developers"
project_copyright = "2026, the relaxppl developers"
version = release = relaxppl.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx-mathjax-offline",  # Formulas are drawn without a network too.
]
myst_enable_extensions = ["dollarmath", "amsmath", "attrs_inline"]
myst_heading_anchors = 3
exclude_patterns = ["_build", "benchmarks"]  # Fragments that benchmarks.md includes.

autodoc_typehints = "none"  # The docstrings say shapes, which types do not.
autodoc_default_options = {"members": True, "imported-members": True}

html_theme = "furo"
html_title = f"relaxppl {release}"
html_static_path = ["_static"]
html_css_files = ["page.css"]

_CODE = re.compile(r"(``.*?``|:\w+:`.*?`)")


def _escape(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Formulas in docstrings are plain text: an asterisk or a bar in them is no markup."""
    for i, line in enumerate(lines):
        parts = _CODE.split(line)
        parts[::2] = [re.sub(r"([*|])|(?<=\w)(_)(?=\W|$)", r"\\\1\2", p) for p in parts[::2]]
        lines[i] = "".join(parts)


def _skip_inherited(
    app: Any, what: str, name: str, obj: Any, skip: bool, options: Any
) -> bool | None:
    """What a class has from its host is the host's to document; a parameter is said once."""
    if name == "relaxation" or "derived where it was not given" in (obj.__doc__ or ""):
        return True
    origin = getattr(getattr(obj, "fget", obj), "__module__", None) or ""
    documented = callable(obj) or isinstance(obj, property)
    return (what == "class" and not (documented and origin.startswith("relaxppl"))) or None


def setup(app: Any) -> None:
    """Connects the two filters."""
    app.connect("autodoc-process-docstring", _escape)
    app.connect("autodoc-skip-member", _skip_inherited)
