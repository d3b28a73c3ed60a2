"""Int8 for onnxruntime's CPU provider: the target graph's convolutions and linear layers, with ranges measured on held-out clips.

The graph keeps the float16 weights of the bundle's one weights file and rounds them to int8 when it is loaded, so int8 adds its
scales alone to the bundle. Weights take 7 of the 8 bits: without VNNI instructions a CPU adds products of 8-bit weights in 16 bits,
which overflow.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from engines.core.errors import ScdError
from engines.evaluate.pixel import Compared, psnr
from engines.export.graphs import Graph
from engines.export.integer_graph import integer_linear, round_at_load
from engines.export.samples import Pictures, Sample, held_out_samples
from engines.generate.denoise import Settings
from engines.generate.pipeline import Pipeline, PipelineSpec
from engines.sessions.base import Session
from engines.sessions.gates import Arrays
from engines.sessions.onnxruntime_session import open_session

LEAST_PSNR = 36.0  # dB, of frames against the float graph's: an error far below the model's own
CLIPS, FRAMES, STEPS = 3, 6, 8  # that the ranges are measured on
LAYERS = ["Conv", "MatMul"]


class Recorder:
    """A session that remembers what it was fed."""

    def __init__(self, session: Session) -> None:
        self.session, self.pinned, self.feeds = session, {}, []  # type: tuple[Session, Arrays, list[Arrays]]
        self.device = session.device

    def pin(self, constants: Any) -> None:
        self.pinned = dict(constants)
        self.session.pin(constants)

    def run(self, feeds: Any, wanted: Any = None) -> Any:
        self.feeds.append({**feeds, **self.pinned})
        return self.session.run(feeds, wanted)

    def close(self) -> None:
        self.session.close()


class Reader(CalibrationDataReader):
    def __init__(self, feeds: list[Arrays]) -> None:
        self.rest = iter(feeds)

    def get_next(self) -> Arrays | None:
        return next(self.rest, None)


def open_graphs(folder: Path, graphs: list[Graph]) -> dict[str, Session]:
    return {g.name: open_session(folder / f"{g.name}.onnx", ("cpu",)) for g in graphs}


def sampled(pipeline: Pipeline, sample: Sample, conditions: int, steps: int, seed: int) -> NDArray[np.float32]:
    """Latents (F, C, h, w) of a sample's poses; with two conditions the null reference runs beside."""
    pipeline.set_reference(pipeline.reference_kv(pipeline.encode(sample.picture[None]), sample.poses[:1], conditions, sample.picture[None]))
    return pipeline.denoise(pipeline.pose_features(sample.poses), Settings(steps=steps, guidance=1.0, seed=seed), lambda: None)


def calibration_feeds(folder: Path, graphs: list[Graph], spec: PipelineSpec, samples: list[Sample]) -> list[Arrays]:
    """What the target graph is fed while the float graphs in `folder` animate held-out clips, beside the null reference."""
    sessions = open_graphs(folder, graphs)
    recorder = sessions["target"] = Recorder(sessions["target"])
    pipeline = Pipeline(spec, sessions)
    for seed, sample in enumerate(samples):
        sampled(pipeline, sample, 2, STEPS, seed)
    pipeline.close()
    return recorder.feeds


def samples_for(spec: PipelineSpec, data: Path) -> list[Sample]:
    """The clips that ranges are measured on, and one more for the gate."""
    return held_out_samples(data, spec.size, CLIPS + 1, min(FRAMES, spec.window.default))


@contextmanager
def quiet() -> Iterator[None]:
    """onnxruntime's quantizer advises on the root logger; its advice (fold batch norms first) does not concern these graphs."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def kept_float(proto: onnx.ModelProto) -> list[str]:
    """The convolutions that stay float32: the first; the shortcuts, whose inputs no norm bounds; the last block's and the last.

    That is where most of int8's error came from, at 7 % of scd-mini's multiplications (docs/decisions.md).
    """
    weight = {node.name: node.input[1] for node in proto.graph.node if node.op_type == "Conv"}
    last_block = [name for name in weight.values() if ".resnets." in name][-1].rsplit(".conv", 1)[0]
    kept = [name for name in weight if ".conv_shortcut." in weight[name] or weight[name].startswith(f"{last_block}.")]
    first, *_, last = weight
    return [first, *kept, last]


def quantized(proto: onnx.ModelProto, feeds: list[Arrays]) -> onnx.ModelProto:
    """A float32 graph with its weights inside -> the same graph in int8, but for some convolutions."""
    known = onnx.ModelProto()
    known.CopyFrom(proto)
    for node in known.graph.node:  # onnx's shape inference does not know onnxruntime's own operators
        if node.domain == "com.microsoft":
            known.graph.value_info.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in node.output)
    with TemporaryDirectory() as folder, quiet():
        source, result = Path(folder, "float.onnx"), Path(folder, "int8.onnx")
        onnx.save(known, str(source))
        quantize_static(
            str(source), str(result), Reader(feeds), quant_format=QuantFormat.QDQ, per_channel=True, reduce_range=True,
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8, op_types_to_quantize=LAYERS,
            nodes_to_exclude=kept_float(proto), extra_options={"OpTypesToExcludeOutputQuantization": ["MatMul"]},
        )  # fmt: skip
        int8 = onnx.load(str(result))
    round_at_load(int8, proto)
    integer_linear(int8)
    return int8


def pictures(folder: Path, graphs: list[Graph], spec: PipelineSpec, sample: Sample, steps: int) -> Pictures:
    """(F, H, W, 3): the sample animated by the graphs as they lie in the folder."""
    pipeline = Pipeline(spec, open_graphs(folder, graphs))
    made = list(pipeline.decode(sampled(pipeline, sample, 1, steps, 0)))
    pipeline.close()
    return np.stack(made)


def check_quantized(plain: Pictures, fast: Pictures) -> dict[str, Any]:
    """Compares a whole clip: single predictions differ by several percent, but mostly where the picture does not show it.

    ScdError when the pictures of the int8 graph are too far from those of the float graph.
    """
    found = min(psnr(Compared(a, b)) for a, b in zip(fast, plain, strict=True))
    if not found >= LEAST_PSNR:
        raise ScdError(
            f"frames from the int8 target graph lie {found:.1f} dB from float32's, below {LEAST_PSNR} dB", "use --precision fp32"
        )
    return {"least psnr": LEAST_PSNR, "psnr of the worst frame": found}
