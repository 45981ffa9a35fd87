"""Builds HTML from elements; text is escaped unless it is HTML already."""

from __future__ import annotations

import html
from collections.abc import Iterable

from demix_jax.common.wording import Html

VOID = frozenset({"br", "col", "hr", "img", "link", "meta", "rect", "path", "line", "circle", "polyline"})

Child = "Html | str | int | float | None | Iterable[Child]"


def escape(text: object) -> Html:
    """HTML that shows `text` literally; control characters, which HTML forbids, become U+FFFD."""
    if isinstance(text, Html):
        return text
    plain = "".join(c if c >= " " or c in "\t\n\r" else "�" for c in str(text))
    # A damaged file may contain a lone surrogate, which cannot be encoded as UTF-8.
    return Html(html.escape(plain.encode("utf-8", "replace").decode("utf-8"), quote=True))


def element(tag: str, *children: object, **attributes: object) -> Html:
    """One HTML or SVG element, e.g. ``element("td", value, class_="number", colspan=2)``.

    Args:
      tag: name of the element.
      children: Html is kept, other text is escaped, iterables are flattened, None is skipped.
      attributes: values are escaped; ``class_`` stands for class, ``aria_label`` for aria-label; None and False are
        skipped, True gives the bare name.
    """
    written = "".join(_attribute(name, value) for name, value in attributes.items())
    if tag in VOID and not children:
        return Html(f"<{tag}{written}>" if tag in {"br", "col", "hr", "img", "link", "meta"} else f"<{tag}{written}/>")
    return Html(f"<{tag}{written}>{join(children)}</{tag}>")


def unbroken(text: str) -> Html:
    """Text without line breaks inside, such as a number with its percent sign."""
    return element("span", text, class_="unbroken")


def join(children: Iterable[object]) -> Html:
    """Concatenate children, which may be of the same kinds as in `element`."""
    return Html("".join(_flat(children)))


def _flat(children: Iterable[object]) -> Iterable[str]:
    for child in children:
        if child is None:
            continue
        if isinstance(child, str):
            yield escape(child)
        elif isinstance(child, Iterable):
            yield from _flat(child)
        else:
            yield escape(child)


def _attribute(name: str, value: object) -> str:
    if value is None or value is False:
        return ""
    name = name.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{escape(value)}"'
