"""What is loaded once and serves many clips: bundles, networks, pose detectors, and what was read of references and drivers."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any, TypeVar

from engines.core.bundle import Bundle, read_bundle, resolve_model, sha256
from engines.core.report import Report
from engines.generate.backends import Backend, choose
from engines.generate.pipeline import Pipeline, pipeline_on
from engines.pose.detector import Detector
from engines.pose.detectors import open_detector
from engines.pose.networks import networks
from engines.pose.segment import Segmenter

T = TypeVar("T")
KEPT = 8  # references and drivers whose keypoints stay in memory
KV_KEPT = 4  # references whose K/V do: 100 MB each and condition at Stable Diffusion 1.5's size, 512x512 pixels


class Shelf:
    """The last few things that were made, by key."""

    def __init__(self, most: int) -> None:
        self.most, self.things = most, OrderedDict[Hashable, Any]()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """What lies under the key, or what `make` gives, which then lies there."""
        if key in self.things:
            self.things.move_to_end(key)
        else:
            self.things[key] = make()
            while len(self.things) > self.most:
                self.things.popitem(last=False)
        found: T = self.things[key]
        return found


class Studio:
    """`lasting`: networks stay for the clips that follow; else each is closed as soon as a clip is through with it.

    One process, one studio, one clip at a time.
    """

    def __init__(self, report: Report, lasting: bool = False) -> None:
        self.report, self.lasting = report, lasting
        self.bundles, self.backends, self.pipelines = Shelf(KEPT), Shelf(KEPT), Shelf(1)
        self.detectors, self.references, self.tracks, self.hashes = Shelf(2), Shelf(KEPT), Shelf(KEPT), Shelf(1024)
        self.kv = Shelf(KV_KEPT)

    def bundle(self, model: str) -> Bundle:
        return self.bundles.get(model, lambda: read_bundle(resolve_model(model)))

    def backend(self, model: str, providers: tuple[str, ...]) -> Backend:
        return self.backends.get((model, providers), lambda: choose(self.bundle(model), providers, self.report))

    def pipeline(self, model: str, providers: tuple[str, ...]) -> Pipeline:
        """The networks of a model. Those of another model are closed first: two need not fit into memory."""
        key = (model, providers)
        if key not in self.pipelines.things:
            self.close()
        return self.pipelines.get(key, lambda: pipeline_on(self.bundle(model), self.backend(model, providers)))

    def detector(self, models: tuple[Path, Path] | None) -> Detector:
        return self.detectors.get(models, lambda: open_detector(models, self.report))

    def segmenter(self) -> Segmenter:
        return self.detectors.get("segmenter", lambda: Segmenter(networks(self.report)))

    def sha256(self, path: Path) -> str:
        """Of a file's content, read again only when the file has changed."""
        facts = path.stat()
        return self.hashes.get((path, facts.st_size, facts.st_mtime_ns), lambda: sha256(path))

    def close(self) -> None:
        """Give the networks' memory back."""
        for pipeline in self.pipelines.things.values():
            pipeline.close()
        self.pipelines.things.clear()
