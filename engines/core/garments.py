"""Words that try-on shares: where a garment is worn, how a mask follows it. stdlib only."""

from typing import Literal

Category = Literal["upper", "lower", "dress"]
CATEGORIES: tuple[Category, ...] = ("upper", "lower", "dress")
MaskStyle = Literal["shape", "limbs", "box"]
MASK_STYLES: tuple[MaskStyle, ...] = ("shape", "limbs", "box")
ParseLabels = Literal["lip", "atr"]
PARSE_LABELS: tuple[ParseLabels, ...] = ("lip", "atr")
