"""Figures of the report: SVG that takes its colours from the page's style sheet, so that light and dark both work.

Names of methods are not drawn but listed beside the figure, in HTML. The five colours of learners are told apart with
every common kind of colour blindness, and each has a marker of its own (Okabe and Ito, 2008,
https://jfly.uni-koeln.de/color/).
"""

import io
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from typing import Any

SIZE = (4.4, 3.0)
MARKERS = ("o", "s", "^", "D", "v")
MOST_POINTS = 400

# Colours that stand for variables of the style sheet.
_VARIABLES = {f"#0a0b{i:02x}": f"var(--series-{i})" for i in range(1, 6)} | {
    "#0a0b10": "var(--ink)",
    "#0a0b11": "var(--muted)",
    "#0a0b12": "var(--line)",
    "#0a0b13": "var(--reference)",
    "#0a0b14": "var(--baseline-1)",
    "#0a0b15": "var(--baseline-2)",
}
_COLOUR = {variable[6:-1]: colour for colour, variable in _VARIABLES.items()}


@dataclass(frozen=True)
class Style:
    """How a line looks: a variable of the style sheet, a marker, dashes, a width in points."""

    colour: str
    marker: str
    dashes: str
    width: float


LEARNERS = tuple(Style(f"series-{i + 1}", marker, "-", 2.0) for i, marker in enumerate(MARKERS))
REFERENCE = Style("reference", "", "--", 1.6)
BASELINES = (Style("baseline-1", "", "-", 1.1), Style("baseline-2", "", ":", 1.4))


@dataclass(frozen=True)
class Line:
    """Points of one method; `low` and `high` are empty where there is no band."""

    style: Style
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()


def curve(lines: Sequence[Line], *, x_label: str, y_label: str, ticks: Sequence[str] = (), markers: bool = True) -> str:
    """Draw lines with bands as SVG; `ticks` names the positions 0, 1, 2, ... of a categorical axis."""
    with _axes(x_label, y_label, ticks) as (axes, svg):
        for line in reversed(lines):
            colour, style = _COLOUR[line.style.colour], line.style
            step = max(1, len(line.x) // MOST_POINTS)
            marker = style.marker if markers and style.marker else None
            axes.plot(
                line.x[::step],
                line.y[::step],
                color=colour,
                linestyle=style.dashes,
                linewidth=style.width if markers else 0.7 * style.width,
                marker=marker,
                markersize=4.5,
            )
            if len(line.low):
                axes.fill_between(line.x, line.low, line.high, color=colour, alpha=0.16, linewidth=0)
        return svg()


def intervals(lines: Sequence[Line], *, x_label: str, y_label: str, ticks: Sequence[str]) -> str:
    """Draw a point with its interval per method and bin as SVG, methods side by side within a bin."""
    with _axes(x_label, y_label, ticks) as (axes, svg):
        width = 0.6 / max(len(lines), 1)
        for position, line in enumerate(lines):
            shift = (position - (len(lines) - 1) / 2) * width
            below = [value - low for value, low in zip(line.y, line.low, strict=True)]
            above = [high - value for value, high in zip(line.y, line.high, strict=True)]
            axes.errorbar(
                [x + shift for x in line.x],
                line.y,
                yerr=[below, above],
                color=_COLOUR[line.style.colour],
                linestyle="none",
                marker=line.style.marker or "_",
                markersize=5 if line.style.marker else 8,
                linewidth=1.4,
            )
        return svg()


def swatch(style: Style) -> str:
    """Draw a legend's sample of a line as SVG."""
    colour = f"var(--{style.colour})"
    dashes = {"--": ' stroke-dasharray="5 3"', ":": ' stroke-dasharray="1.5 2"'}.get(style.dashes, "")
    shapes = {
        "o": '<circle cx="12" cy="6" r="3.4"/>',
        "s": '<rect x="8.8" y="2.8" width="6.4" height="6.4"/>',
        "^": '<path d="M12 2 L16 9.4 L8 9.4 Z"/>',
        "D": '<path d="M12 1.6 L16.4 6 L12 10.4 L7.6 6 Z"/>',
        "v": '<path d="M12 10 L16 2.6 L8 2.6 Z"/>',
    }
    return (
        f'<svg class="swatch" viewBox="0 0 24 12" aria-hidden="true" style="fill:{colour};stroke:{colour}">'
        f'<path d="M0 6 H24" fill="none" stroke-width="{style.width}"{dashes}/>{shapes.get(style.marker, "")}</svg>'
    )


@contextmanager
def _axes(x_label: str, y_label: str, ticks: Sequence[str]) -> Iterator[tuple]:
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    plain: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": "metajax",
        "text.parse_math": False,
        "font.size": 9.0,
    }
    plain |= {"axes.unicode_minus": False, "path.simplify": True}
    with rc_context(plain), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # the page's own font draws the text
        figure = Figure(figsize=SIZE, layout="constrained")
        FigureCanvasSVG(figure)
        figure.patch.set_visible(False)
        axes = figure.add_subplot()
        axes.patch.set_visible(False)
        axes.set_xlabel(x_label, color=_COLOUR["ink"])
        axes.set_ylabel(y_label, color=_COLOUR["ink"])
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(_COLOUR["muted"])
        axes.tick_params(color=_COLOUR["muted"], labelcolor=_COLOUR["muted"])
        axes.grid(axis="y", color=_COLOUR["line"], linewidth=0.6)
        axes.set_axisbelow(True)
        axes.yaxis.set_major_locator(MaxNLocator(5))
        if ticks:
            axes.set_xticks(range(len(ticks)), ticks)
        else:
            axes.xaxis.set_major_locator(MaxNLocator(5))

        def svg() -> str:
            buffer = io.StringIO()
            figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
            return _for_page(buffer.getvalue(), f"{y_label} by {x_label}")

        yield axes, svg


def _for_page(svg: str, label: str) -> str:
    """Make an SVG file an element of a page: no prolog, no addresses, no fixed size, variables for colours."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", svg).replace("xlink:href", "href")
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    opening = svg[: svg.index(">")]
    svg = re.sub(r'\s(width|height)="[^"]*"', "", opening) + svg[len(opening) :]
    svg = svg.replace("<svg", f'<svg class="figure" role="img" aria-label="{escape(label)}"', 1)
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, variable)
    return svg
