"""Check a clip that `scd animate` made against its driver: python .ci/check_video.py OUT DRIVER SUMMARY.json"""

import json
import sys
from pathlib import Path

import av
import numpy as np


def facts(path: str) -> tuple[int, object, str, str, float]:
    """Frames, fps, codec, pixel format and mean standard deviation of the decoded pictures."""
    with av.open(path) as container:
        stream = container.streams.video[0]
        spread = [float(frame.to_ndarray(format="rgb24").std()) for frame in container.decode(stream)]
        return len(spread), stream.average_rate, stream.codec_context.name, str(stream.codec_context.pix_fmt), float(np.mean(spread))


def main(out: str, driver: str, summary: str) -> None:
    frames, fps, codec, pixels, spread = facts(out)
    wanted_frames, wanted_fps, *_ = facts(driver)
    said = json.loads(Path(summary).read_text())
    assert frames == wanted_frames == said["frames"], (frames, wanted_frames, said["frames"])
    assert fps == wanted_fps, (fps, wanted_fps)
    assert (codec, pixels) == ("h264", "yuv420p"), (codec, pixels)
    assert spread > 10, f"the pictures are nearly flat (standard deviation {spread:.1f})"
    try:
        import torch  # noqa: F401, TID251
    except ImportError:
        pass
    else:
        raise AssertionError("torch is importable in the base environment")
    print(f"{out}: {frames} frames at {fps} fps, {codec}, seconds {said['seconds']}")


if __name__ == "__main__":
    main(*sys.argv[1:])
