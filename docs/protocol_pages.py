"""Pages made of the protocols' own docstrings: formula, threat, cost, source; and links to NumPy's pages.

``.. protocol:: protocols.beaver`` shows a module's docstring: what stands indented as it stands, and the parts that begin
with a word and two spaces, such as ``Cost``, under that word.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
from docutils import nodes
from sphinx.transforms import SphinxTransform
from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).parent.parent
NUMPY = "https://numpy.org/doc/stable/reference/generated"
_PART = re.compile(r"^([A-Z][a-z]+) {2,}(?=\S)")


def docstring(module: str) -> tuple[Path, str]:
    """A module's file and docstring, without importing it."""
    path = ROOT / module.replace(".", "/")
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return path, ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""


def blocks(text: str) -> list[tuple[str, str, bool]]:
    """Paragraphs as (the word they begin with or nothing, text, whether it is to stand as it stands)."""
    found: list[tuple[str, str, bool]] = []
    margin = 4
    for block in re.split(r"\n\s*\n", text):
        lines = block.split("\n")
        part: list[str] = []
        word = ""
        for line in lines:
            if start := _PART.match(line):
                if part:
                    found.append((word, "\n".join(part), False))
                word, part, margin = start[1], [line[start.end() :]], 13  # prose goes on at 9
            else:
                part.append(line)
        literal = not word and all(line.startswith(" " * margin) for line in lines)
        found.append((word, "\n".join(part), literal))
    return found


def inline(text: str) -> list[nodes.Node]:
    """Words and ``code``."""
    pieces = re.split(r"``(.+?)``", " ".join(text.split()))
    return [nodes.literal(text=p) if i % 2 else nodes.Text(p) for i, p in enumerate(pieces) if p]


class Protocol(SphinxDirective):
    """A section about one module."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        module = self.arguments[0]
        path, text = docstring(module)
        self.env.note_dependency(str(path))
        section = nodes.section(ids=[nodes.make_id(module)])
        section += nodes.title(text=str(path.relative_to(ROOT)))
        fields, within = nodes.field_list(), section
        for word, body, literal in blocks(text):
            if word:
                within = nodes.field_body("", nodes.paragraph("", "", *inline(body)))
                fields += nodes.field("", nodes.field_name(text=word), within)
            elif literal:
                within += nodes.literal_block(text=dedent(body))
            else:
                within += nodes.paragraph("", "", *inline(body))
        if len(fields):
            section += fields
        return [section]


class NumPyLinks(SphinxTransform):
    """``np.sort`` in a text leads to NumPy's page about it."""

    default_priority = 700

    def apply(self, **_: Any) -> None:
        for literal in list(self.document.findall(nodes.literal)):
            name = literal.astext().removeprefix("np.").removesuffix("()")
            if literal.astext().startswith("np.") and callable(_found(name)):
                link = nodes.reference("", "", refuri=f"{NUMPY}/numpy.{name}.html", internal=False)
                literal.parent.replace(literal, link)
                link += literal


def _found(name: str) -> object:
    found: object = np
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


def setup(app: Any) -> dict[str, bool]:
    app.add_transform(NumPyLinks)
    app.add_directive("protocol", Protocol)
    return {"parallel_read_safe": True}
