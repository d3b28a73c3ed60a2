"""The choice among the detectors; their runtimes are loaded when one is opened."""

from pathlib import Path

from engines.core.report import Report
from engines.pose.detector import Detector


def open_detector(models: tuple[Path, Path] | None, report: Report) -> Detector:
    """BlazePose (None), or RTMPose/DWPose by the ONNX files of a person detector and a whole-body pose network.

    ScdError for files that are neither, and where BlazePose's networks cannot be had.
    """
    if models is not None:
        from engines.pose.rtmpose import RtmPose

        return RtmPose(*models)
    from engines.pose.blazepose import BlazePose
    from engines.pose.networks import networks

    return BlazePose(networks(report))
