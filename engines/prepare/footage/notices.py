"""Licence and origin of every data set that prepare-data reads: scd downloads none of them and passes none on."""

from engines.core.report import Report

# What the data sets' own pages and papers say; whoever uses one must read the licence there.
NOTICES: dict[str, tuple[str, str]] = {
    "folder": ("your own films: you need the right to use them, and the consent of who is seen in them", ""),
    "tiktok": ("CC BY-NC 4.0, research only", "https://www.yasamin.page/hdnet_tiktok"),
    "ubc-fashion": ("CC BY-NC 4.0 by what its users say; ask its makers before other uses", "https://vision.cs.ubc.ca/datasets/fashion"),
    "moore-json": ("that of the films the list names; scd does not know it", "https://github.com/MooreThreads/Moore-AnimateAnyone"),
    "viton-hd": ("CC BY-NC 4.0, research only", "https://github.com/shadow2496/VITON-HD"),
    "dresscode": (
        "an academic release form; alterations may not be distributed, which includes what is written here",
        "https://github.com/aimagelab/dress-code",
    ),
}


def licence(source: str) -> dict[str, str]:
    """For dataset.json."""
    terms, place = NOTICES[source]
    return {"licence": terms, "from": place}


def tell(source: str, report: Report) -> None:
    terms, place = NOTICES[source]
    where = f"; it is to be had at {place}" if place else ""
    report.note(f"{source}: {terms}{where} (scd downloads nothing and passes nothing on)")
