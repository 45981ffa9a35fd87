"""HTML built from elements, where text is escaped unless it is HTML already."""

from __future__ import annotations

import html
from collections.abc import Iterable

from demix_jax.common.wording import Html

VOID = frozenset({"br", "col", "hr", "img", "link", "meta", "rect", "path", "line", "circle", "polyline"})

Child = "Html | str | int | float | None | Iterable[Child]"


def escape(text: object) -> Html:
    """`text` as HTML that shows it literally; control characters, which HTML forbids, become U+FFFD."""
    if isinstance(text, Html):
        return text
    plain = "".join(c if c >= " " or c in "\t\n\r" else "�" for c in str(text))
    # A lone surrogate, as a damaged file may hold, cannot be written as UTF-8.
    return Html(html.escape(plain.encode("utf-8", "replace").decode("utf-8"), quote=True))


def element(tag: str, *children: object, **attributes: object) -> Html:
    """One element, e.g. ``element("td", value, class_="number", colspan=2)``.

    Args:
      tag: name, SVG's included.
      children: Html as it is, other text escaped, iterables flattened, None left out.
      attributes: values escaped; ``class_`` stands for class, ``aria_label`` for aria-label; None and False are
        left out, True gives the bare name.
    """
    written = "".join(_attribute(name, value) for name, value in attributes.items())
    if tag in VOID and not children:
        return Html(f"<{tag}{written}>" if tag in {"br", "col", "hr", "img", "link", "meta"} else f"<{tag}{written}/>")
    return Html(f"<{tag}{written}>{join(children)}</{tag}>")


def unbroken(text: str) -> Html:
    """Text within which no line ends, as between a number and its percent sign."""
    return element("span", text, class_="unbroken")


def join(children: Iterable[object]) -> Html:
    """Children one after the other, as `element` takes them."""
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
