"""Conversion of matplotlib figures to compact inline SVG, without ids and with colours that the page may override."""

from __future__ import annotations

import io
import re
import warnings
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from crossloom.report.figures.rows import TOOLTIP
from crossloom.report.figures.sheet import styled
from crossloom.report.palette import VARIABLES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SVG = "{http://www.w3.org/2000/svg}"
_NUMBER = re.compile(r"-?\d+\.\d+")
_COLOUR = re.compile("|".join(VARIABLES))
_TEXT_LOOK = re.compile(r"font-family:[^;]*;?\s*|text-anchor: start;?\s*")


def inline_svg(figure: Figure, label: str, tooltips: bool = True) -> str:
    """Return an `<svg>` element with text kept as text, and with `label` for screen readers.

    It scales with its container. Palette colours become CSS variables with the original colour as fallback; fonts are those
    of the page. The same figure always gives the same SVG.
    """
    root = ElementTree.fromstring(_drawn(figure))
    made = ElementTree.Element("svg", {"viewBox": root.attrib["viewBox"], "role": "img", "aria-label": label})
    _copy(root, made, tooltips)
    return ElementTree.tostring(made, encoding="unicode")


def _drawn(figure: Figure) -> str:
    target = io.StringIO()
    with styled(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(target, format="svg", transparent=True, metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    return target.getvalue()


def _copy(source: ElementTree.Element, target: ElementTree.Element, tooltips: bool, tooltip: str = "") -> None:
    """Copy paths and texts without their groups; consecutive paths of the same style are merged."""
    for element in source:
        name = element.tag.removeprefix(SVG)
        if name == "g":
            gid = element.get("id", "")
            inner = gid.removeprefix(TOOLTIP) if tooltips and gid.startswith(TOOLTIP) else tooltip
            _copy(element, target, tooltips, inner)
        elif name == "path":
            _add_path(element, target, tooltip)
        elif name == "text":
            _add_text(element, target)


def _add_path(element: ElementTree.Element, target: ElementTree.Element, tooltip: str) -> None:
    look, outline = _look(element.get("style", "")), _outline(element.get("d", ""))
    if look == "fill: none" or not outline:
        return
    last = target[-1] if len(target) else None
    if not tooltip and last is not None and last.tag == "path" and last.get("style") == look and not len(last):
        last.set("d", last.attrib["d"] + outline)
        return
    path = ElementTree.SubElement(target, "path", {"d": outline, "style": look})
    if tooltip:
        ElementTree.SubElement(path, "title").text = tooltip


def _add_text(element: ElementTree.Element, target: ElementTree.Element) -> None:
    text = ElementTree.SubElement(target, "text", {name: _short(element.get(name, "0")) for name in ("x", "y")})
    text.set("style", _look(element.get("style", "")))
    text.text = element.text


def _outline(path: str) -> str:
    """Return the outline of a path without redundant spaces; an empty string for a path without extent."""
    return re.sub(r"\s*([MLz])\s*", r"\1", _short(path)).strip()


def _short(numbers: str) -> str:
    return _NUMBER.sub(lambda match: f"{float(match[0]):.2f}".rstrip("0").rstrip("."), numbers)


def _look(style: str) -> str:
    own = _COLOUR.sub(lambda match: f"var({VARIABLES[match[0]]}, {match[0]})", style)
    return _TEXT_LOOK.sub("", own).strip("; ")
