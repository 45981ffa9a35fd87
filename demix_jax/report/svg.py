"""A small plot in inline SVG that follows the page's colours and width."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from demix_jax.common.wording import Html
from demix_jax.report.html import element


@dataclass
class Panel:
    """One plot with x in [0, 1] and y in [low, high]; `drawing` collects the drawn elements.

    Args:
      kind: error type or "none"; sets the colour.
      title: heading above the plot.
      low, high: ends of the y axis; values beyond are clipped.
      width: width of the viewBox; a smaller one makes the text larger.
    """

    kind: str
    title: str
    low: float
    high: float
    width: float = 320
    height: float = 190
    drawing: list[Html] = field(default_factory=list)

    def x(self, share: np.ndarray | float) -> np.ndarray:
        return 42 + (self.width - 50) * np.clip(share, 0.0, 1.0)

    def y(self, value: np.ndarray | float) -> np.ndarray:
        value = np.clip(value, self.low, self.high)
        return 12 + (self.height - 36) * (self.high - value) / (self.high - self.low)

    def rung(self, value: float, text: str) -> None:
        """Draw a grid line at `value` with a tick label."""
        y = f"{self.y(value):.1f}"
        self.drawing.append(element("line", x1=self.x(0.0), x2=self.x(1.0), y1=y, y2=y, class_="grid"))
        self.drawing.append(element("text", text, x=36, y=f"{self.y(value) + 4:.1f}", class_="end"))

    def under(self, share: float, text: str) -> None:
        """Write a word below the axis; at either end it stays inside the picture."""
        anchor = {0.0: None, 1.0: "end"}.get(share, "middle")
        self.drawing.append(element("text", text, x=self.x(share), y=self.height - 6, class_=anchor))

    def curve(self, share: np.ndarray, value: np.ndarray, class_: str) -> None:
        self.drawing.append(element("path", d=f"M{_points(self.x(share), self.y(value))}", class_=f"curve {class_}"))

    def band(self, share: np.ndarray, below: np.ndarray, above: np.ndarray, class_: str) -> None:
        x = np.concatenate([self.x(share), self.x(share)[::-1]])
        y = np.concatenate([self.y(below), self.y(above)[::-1]])
        self.drawing.append(element("path", d=f"M{_points(x, y)}Z", class_=f"band {class_}"))

    def bar(self, left: float, right: float, value: float, class_: str, said: str) -> None:
        """Draw a bar at least two units high, so that it stays visible; `said` is its tooltip."""
        top = min(float(self.y(value)), float(self.y(self.low)) - 2.0)
        self.drawing.append(
            element(
                "rect",
                element("title", said),
                x=f"{self.x(left):.1f}",
                y=f"{top:.1f}",
                width=f"{self.x(right) - self.x(left) - 1:.1f}",
                height=f"{self.y(self.low) - top:.1f}",
                class_=class_,
            )
        )

    def upright(self, share: float, class_: str) -> None:
        x = f"{self.x(share):.1f}"
        self.drawing.append(element("line", x1=x, x2=x, y1=self.y(self.high), y2=self.y(self.low), class_=class_))

    def html(self, said: str) -> Html:
        """The panel with its heading; screen readers read `said` instead of the picture."""
        picture = element(
            "svg",
            element("title", f"{self.title}: {said}"),
            self.drawing,
            viewBox=f"0 0 {self.width:g} {self.height:g}",
            role="img",
            class_=f"chart {self.kind}",
        )
        dot = element("span", class_=f"dot {self.kind}", aria_hidden="true")
        return element("div", element("h4", dot, self.title), picture)


def _points(x: np.ndarray, y: np.ndarray) -> str:
    return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
