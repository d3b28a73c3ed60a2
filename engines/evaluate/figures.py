"""Computing what an evaluation was asked for: each metric's figure, or the reason why it has none."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np

from engines.core.errors import MissingExtra, ScdError
from engines.core.report import Report
from engines.evaluate import people
from engines.evaluate.inputs import Inputs, masks_of
from engines.evaluate.learned import Learned
from engines.evaluate.metrics import MASKED, METRICS, Metric, chosen
from engines.evaluate.pixel import Compared
from engines.evaluate.protocols import Protocol
from engines.evaluate.request import EvaluateRequest
from engines.evaluate.results import Figure, paired_figure
from engines.evaluate.streams import Job, plain_values, values
from engines.evaluate.weights import WeightsMissing

CONTROL_VIDEOS, CONTROL_FRAMES = 12, 3
PLAIN, LEARNED = ("pixel", "transition", "masked"), ("distance", "pictures", "clips")
NOBODY = "no frame of the truth shows somebody whose torso or joints can be found"


@dataclass
class Results:
    """Figures in the order of the metrics asked for, and of those that have none, why."""

    figures: list[Figure] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)

    def attempt(self, metrics: Sequence[Metric], work: Callable[[], list[Figure]]) -> None:
        """Take the figures that `work` gives, or what keeps the metrics from being computed as the reason."""
        try:
            self.figures.extend(work())
        except (WeightsMissing, MissingExtra) as error:
            self.skipped.update({m.name: str(error.message) for m in metrics})


def asked(request: EvaluateRequest, protocol: Protocol, found: Inputs) -> tuple[Metric, ...]:
    """The metrics to compute: those named (`protocol` and `all` stand for lists), or the protocol's and what references and masks allow."""
    extra = (*(MASKED if found.masks else ()), *(n for n, m in METRICS.items() if m.family in ("face", "subject") and found.references))
    usual = (*protocol.metrics, *(extra if request.reference is not None or found.masks else ()))
    lists = {"protocol": usual, "all": tuple(METRICS)}
    names = usual if request.metrics is None else tuple(n for name in request.metrics for n in lists.get(name, (name,)))
    return chosen(names)


def jobs(found: Inputs) -> Iterator[Job]:
    """Every frame of every video beside its truth, the frame before and its mask."""
    for pair in found.pairs:
        before, masks = None, masks_of(found, pair.id)
        for _, pred, truth in pair.frames(found.protocol.geometry):
            now = Compared(pred, truth)
            yield pair.id, before, now, None if masks is None else next(masks)
            before = now


def why_undefined(metric: Metric, found: Inputs) -> str:
    """Why no frame has a value of a metric that needs no network."""
    if metric.family == "masked":
        return "no masks are given (--masks), or all are empty" if not found.masks else "every mask is empty"
    if metric.name == "ms_ssim":
        return "frames are smaller than 161 pixels"
    if all(len(p.numbers) < 2 for p in found.pairs):
        return "no video has two frames"
    if metric.name == "warping_error":
        return "frames are smaller than 32 pixels, or no pixel can be followed"
    return "no frame has a value"


def plain_results(found: Inputs, metrics: Sequence[Metric], report: Report, out: Results) -> None:
    names = [m.name for m in metrics if m.family in PLAIN]
    total, perfect = sum(len(pair.numbers) for pair in found.pairs), identities(found, names)
    for name, rows in (plain_values(jobs(found), total, names, report) if names else {}).items():
        figure = paired_figure(METRICS[name], rows, found.protocol.pooling)
        if figure is None:
            out.skipped[name] = why_undefined(METRICS[name], found)
        else:
            figure.controls |= {"identity": perfect[name]} if name in perfect else {}
            out.figures.append(figure)


def identities(found: Inputs, names: Sequence[str]) -> dict[str, float]:
    """Each metric of the truth against itself, what a perfect prediction would get: the mean over the first frames of some videos.

    Metrics of single frames give the same of any, so they are computed once.
    """
    rows: dict[str, list[float]] = {name: [] for name in names}
    wanted: Sequence[str] = names
    for pair in found.pairs[:: -(-len(found.pairs) // CONTROL_VIDEOS)]:
        before = None
        for frame in islice(pair.truth_frames(found.protocol.geometry), CONTROL_FRAMES):
            now = Compared(frame, frame)
            for name, value in values(wanted, before, now, np.full(frame.shape, 255, np.uint8)).items():
                rows[name] += [] if value is None else [value]
            before, wanted = now, [name for name in names if METRICS[name].family == "transition"]
    return {name: float(np.mean(row)) for name, row in rows.items() if row}


def check_weights(metrics: Sequence[Metric], folder: Path | None) -> None:
    """ScdError for a file under a right name that is another, before any work is done."""
    from engines.evaluate.networks.extractors import open_extractor

    for metric in metrics:
        if metric.family in LEARNED:
            with suppress(WeightsMissing, MissingExtra):
                open_extractor(metric.name, folder)


def learned_results(found: Inputs, request: EvaluateRequest, metrics: Sequence[Metric], report: Report, out: Results) -> None:
    shared = Learned(found.pairs, found.protocol, request.weights_dir, report, request.real_floor)
    for metric in metrics:
        if metric.family in LEARNED:
            out.attempt([metric], partial(one_learned, shared, metric, out))


def one_learned(shared: Learned, metric: Metric, out: Results) -> list[Figure]:
    from engines.evaluate.networks.extractors import open_extractor

    network = open_extractor(metric.name, shared.weights_dir)
    if metric.family == "distance":
        figure = paired_figure(metric, shared.distances(metric, network), shared.protocol.pooling)
    else:
        if why := shared.too_few(metric):
            out.skipped[metric.name] = why
            return []
        figure = shared.set_figure(metric, network)
    if figure is None:
        return []
    figure.weights = [w.entry() for w in network.weights]
    return [figure]


def people_results(found: Inputs, request: EvaluateRequest, metrics: Sequence[Metric], report: Report, out: Results) -> None:
    pairs, geometry, folder = found.pairs, found.protocol.geometry, request.weights_dir
    jobs: list[tuple[list[Metric], Callable[[], people.Judged]]] = []
    wanted = {family: [m for m in metrics if m.family == family] for family in ("pose", "face", "subject")}
    if wanted["pose"]:
        jobs.append((wanted["pose"], lambda: people.poses(pairs, geometry, report, request.pose_models, found.keypoints)))
    if wanted["face"]:
        jobs.append((wanted["face"], lambda: people.faces(pairs, geometry, report, folder, found.references)))
    for kind in ("dino", "clip"):
        if own := [m for m in wanted["subject"] if m.name.startswith(kind)]:
            jobs.append((own, partial(people.subjects, kind, pairs, geometry, report, folder, found.references)))
    for own, work in jobs:
        needs = [m for m in own if m.family == "face" or m.name.endswith("_reference")]
        if needs and not found.references:
            out.skipped.update({m.name: "no reference pictures are known, name them with --reference" for m in needs})
            own = [m for m in own if m not in needs]
        if own:
            out.attempt(own, partial(judged_figures, own, work, found.protocol, out))


def judged_figures(metrics: Sequence[Metric], work: Callable[[], people.Judged], protocol: Protocol, out: Results) -> list[Figure]:
    judged, figures = work(), []
    for metric in metrics:
        figure = paired_figure(metric, judged.values.get(metric.name, {}), protocol.pooling)
        if figure is None:
            out.skipped[metric.name] = NOBODY if metric.family == "pose" else "no frame has a value"
            continue
        figures.append(replace(figure, weights=judged.weights, notes=judged.notes))
    return figures


def measured(found: Inputs, request: EvaluateRequest, report: Report) -> Results:
    """All figures, in the order of the metrics asked for."""
    metrics, out = asked(request, found.protocol, found), Results()
    check_weights(metrics, request.weights_dir)
    plain_results(found, metrics, report, out)
    learned_results(found, request, metrics, report, out)
    people_results(found, request, metrics, report, out)
    order = [m.name for m in metrics]
    out.figures.sort(key=lambda figure: order.index(figure.metric.name))
    out.skipped = {name: out.skipped[name] for name in order if name in out.skipped}
    if request.require and out.skipped:
        name, reason = next(iter(out.skipped.items()))
        raise ScdError(f"the metric {name} cannot be computed: {reason}", "leave --require out, or leave the metric out of --metrics")
    if not out.figures:
        name, reason = next(iter(out.skipped.items()), ("psnr", "none was asked for"))
        raise ScdError(f"no metric could be computed ({name}: {reason})", "name others with --metrics; scd evaluate --list shows them")
    return out
