"""Charts as SVG that stands in a page of HTML: its text is the page's, its colours follow light and dark."""

import io
import re
from typing import Any

import matplotlib as mpl
from markupsafe import Markup, escape
from matplotlib.figure import Figure

INK, QUIET, RULE = "#010203", "#040506", "#070809"
"""Stand for the page's colours of text, of quiet text and of rules: `inline` puts variables in their place."""
COLOURS = {
    INK: "currentColor",
    QUIET: "var(--quiet)",
    RULE: "var(--rule)",
    "#0072b2": "var(--blue)",
    "#d55e00": "var(--orange)",
    "#009e73": "var(--green)",
    "#8a8a8a": "var(--grey)",
    "#ffffff": "var(--card)",
}
STYLE: Any = {
    "font.size": 9.5,
    "text.color": INK,
    "axes.labelcolor": QUIET,
    "axes.edgecolor": QUIET,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "legend.frameon": False,
    "legend.fontsize": 9.0,
    "lines.linewidth": 1.7,
    "lines.markersize": 5.5,
    "svg.fonttype": "none",
    "svg.hashsalt": "cspops",
}


def inline(figure: Figure, name: str, title: str) -> Markup:
    """The figure as an `svg` element, equal figures as equal text.

    Args:
        figure: drawn under `STYLE`.
        name: of letters, digits and hyphens; no other chart of the page has it, so that no two ids are equal.
        title: what the chart shows, for those who cannot see it.
    """
    with io.StringIO() as drawn, mpl.rc_context(STYLE):
        figure.savefig(
            drawn, format="svg", transparent=True, metadata={"Date": None, "Creator": None, "Format": None, "Type": None}
        )
        text = drawn.getvalue()
    box = re.search(r'viewBox="([^"]+)"', text)
    assert box is not None
    body = text[text.index(">", text.index("<svg")) + 1 : text.rindex("</svg>")]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r"<defs>\s*<style[^>]*>.*?</style>\s*</defs>", "", body, flags=re.DOTALL)
    body = body.replace("xlink:href", "href")
    body = re.sub(r'id="([^"]+)"', rf'id="{name}-\1"', body)
    body = re.sub(r'href="#([^"]+)"', rf'href="#{name}-\1"', body)
    body = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", body)
    body = re.sub(r"font: ([\d.]+px)[^;\"]*", r"font-size: \1", body)
    body = re.sub(r"font-family: [^;\"]*;?", "", body)
    for colour, variable in COLOURS.items():
        body = re.sub(rf"{colour}\b", variable, body, flags=re.IGNORECASE)
    body = re.sub(r"\n\s*", "\n", body).strip()
    # matplotlib has escaped the text that it was given
    return Markup(f'<svg viewBox="{box[1]}" role="img" aria-label="{escape(title)}">\n{body}\n</svg>')
