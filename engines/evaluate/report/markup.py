"""HTML made of small functions: what is no markup already is escaped, so that no name of a file can become a tag."""

import re
from collections.abc import Iterable
from html import escape

VOID = frozenset({"br", "wbr", "img", "input", "meta", "line", "path", "rect", "circle", "use"})
MISSING = "–"


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


def safe(part: object) -> str:
    return part if isinstance(part, Html) else escape(str(part))


def joined(parts: Iterable[object], between: str = "") -> Html:
    """The parts one after the other, each escaped unless it is markup; None is left out."""
    return Html(between.join(safe(part) for part in parts if part is not None))


def el(tag: str, *children: object, **attributes: object) -> Html:
    """One element. `class_` and `data_value` stand for class and data-value; None and False leave an attribute out, True leaves it bare."""
    words = [tag]
    for key, value in attributes.items():
        name = key.rstrip("_").replace("_", "-")
        if value is True:
            words.append(name)
        elif value is not None and value is not False:
            words.append(f'{name}="{escape(str(value))}"')
    opening = " ".join(words)
    return Html(f"<{opening} />" if tag in VOID else f"<{opening}>{joined(children)}</{tag}>")  # SVG's need the slash


def number(value: float | None, minus: str = "−") -> str:
    """Four significant digits or more, powers of ten for what is tiny; a dash where there is none."""
    if value is None:
        return MISSING
    size = abs(value)
    if value == 0:
        return "0"
    if size < 1e-3 or size >= 1e5:
        text = f"{value:.2e}" if size < 1e-3 else f"{value:.4g}"
    else:
        text = f"{value:.{2 if size >= 10 else 3 if size >= 1 else 4}f}"
    return text.replace("-", minus)


def with_unit(value: float | None, unit: str) -> str:
    return number(value) if value is None or not unit else f"{number(value)} {unit}"


def interval(pair: Iterable[float] | None) -> str:
    return MISSING if pair is None else f"[{', '.join(map(number, pair))}]"


def arrow(better: str) -> Html | None:
    """Which way is better, as a sign and for those who hear the page."""
    signs = {"higher": "↑", "lower": "↓"}
    if better not in signs:
        return None
    sign = el("span", signs[better], aria_hidden="true")
    return el("span", sign, el("span", f"{better} is better", class_="unseen"), class_="arrow", title=f"{better} is better")


def breakable(name: str) -> Html:
    """A name that may go on in the next line behind its signs."""
    return joined(re.split(r"(?<=[_\-./])(?=.)", name), el("wbr"))


def scrolled(table: Html, label: str) -> Html:
    """A table in a box of its own that scrolls sideways, also by keyboard."""
    return el("div", table, class_="scroll", role="region", aria_label=label, tabindex=0)


def section(name: str, heading: str, *children: object) -> Html:
    return el("section", el("h2", heading, id=f"{name}-heading"), *children, id=name, aria_labelledby=f"{name}-heading")
