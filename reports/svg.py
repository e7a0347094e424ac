"""Drawing as text: SVG elements with every attribute and every word escaped. It knows no report.

Colours come from the page's style sheet by class, so that one drawing serves light, dark and paper.
"""

from __future__ import annotations

from collections.abc import Iterable

from markupsafe import Markup, escape

from reports.terminal import clean

NARROW = 6.3
"""Pixels that a letter of the small font takes, on average and rounded up."""


def element(name: str, *children: str, **attributes: object) -> Markup:
    """``<name a="b">children</name>``; ``class_`` and ``stroke_width`` are written with what SVG calls them.

    A child that is no Markup is text, and escaped.
    """
    words = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_number(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    body = Markup("").join(child if isinstance(child, Markup) else escape(clean(child)) for child in children)
    return Markup(f"<{name}{words}>{body}</{name}>") if body else Markup(f"<{name}{words}/>")  # noqa: S704


def _number(value: object) -> object:
    return f"{value:.1f}".rstrip("0").rstrip(".") if isinstance(value, float) else value


def drawing(width: float, height: float, label: str, children: Iterable[str], class_: str) -> Markup:
    """A whole picture that scales with its place; *label* is what a screen reader says."""
    return element(
        "svg",
        element("title", label),
        *children,
        viewBox=f"0 0 {width:.0f} {height:.0f}",
        width=f"{width:.0f}",
        height=f"{height:.0f}",
        role="img",
        class_=class_,
    )


def rect(x: float, y: float, width: float, height: float, class_: str, radius: int = 6, **more: object) -> Markup:
    """A box."""
    return element("rect", x=x, y=y, width=width, height=height, rx=radius, class_=class_, **more)


def text(x: float, y: float, said: str, class_: str = "", anchor: str = "middle", width: float = 0) -> Markup:
    """A word; one that is longer than *width* pixels is cut, and has all of itself as a tooltip."""
    shown = said
    most = int(width / NARROW) if width else 0
    if most and len(said) > most:
        shown = said[: max(1, most - 1)] + "…"
    tip = (element("title", said),) if shown != said else ()
    return element("text", shown, *tip, x=x, y=y, class_=class_ or None, text_anchor=anchor)


def line(points: Iterable[tuple[float, float]], class_: str) -> Markup:
    """A line through points."""
    return element("polyline", points=" ".join(f"{x:.1f},{y:.1f}" for x, y in points), class_=class_)
