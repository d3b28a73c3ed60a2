"""Counting a graph's work without doing it."""

from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from engines.core.sites import is_kv
from engines.export.graphs import Graph


def flop(graph: Graph) -> int:
    """Operations (multiply and add are two) of one run on one picture or frame, under one condition: convolutions, linear layers,
    attention, as torch counts them. Shapes alone are computed."""
    feeds = {name: tensor.clone() for name, tensor in graph.inputs.items()}
    for name, axes in graph.dynamic.items():
        for axis in axes:
            feeds[name] = feeds[name].narrow(axis, 0, 1)
    plain: list[Any] = [tensor for name, tensor in feeds.items() if not is_kv(name)]
    kv = [tensor for name, tensor in feeds.items() if is_kv(name)]
    with torch.no_grad(), FakeTensorMode(allow_non_fake_inputs=True), FlopCounterMode(display=False) as counter:
        graph.module(*plain, kv) if kv else graph.module(*plain)
    return int(counter.get_total_flops())
