"""Integer weights and activations for the exported encoder.

A turn's result may not depend on the turns that happen to share its batch. Dynamic quantization
has one activation scale for the whole batch: measured, a turn vector moved by up to 0.35 between a
batch of 16 and the turn alone. So all scales are static, fitted on calibration texts. What a static
scale cannot hold, the rare units of the feed-forward blocks, stays float (see `smooth`), and so do
the small maps of the pooling.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.calibrate import CalibrationMethod
from onnxruntime.quantization.shape_inference import quant_pre_process

_FLOAT: Final = re.compile(r"/rare_(?:up|down)/|/aspect_")
"""Names of the maps that stay float."""

Feed = dict[str, NDArray[np.int64]]


class TextFeeds(CalibrationDataReader):
    """Feeds of single, unpadded windows: padding would widen the ranges for nothing."""

    def __init__(self, windows: Sequence[Sequence[int]]) -> None:
        self._feeds: Iterator[Feed] = (
            {
                "input_ids": np.array([ids], dtype=np.int64),
                "attention_mask": np.ones((1, len(ids)), dtype=np.int64),
            }
            for ids in windows
        )

    def get_next(self) -> Feed | None:
        """The next feed, None at the end."""
        return next(self._feeds, None)


def quantize_encoder(source: Path, target: Path, windows: Sequence[Sequence[int]]) -> None:
    """Quantize the linear maps and the word embeddings to 8 bits.

    Args:
        source: The float graph.
        target: Where the integer graph goes.
        windows: Token ids of calibration windows.
    """
    _quantize_static(source, target, windows)
    model = onnx.load(target)
    quantize_embedding(model.graph)
    onnx.save(model, target)


def _quantize_static(source: Path, target: Path, windows: Sequence[Sequence[int]]) -> None:
    prepared = target.with_suffix(".prepared.onnx")
    quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
    graph = onnx.load(prepared).graph
    constants = {initializer.name for initializer in graph.initializer}
    quantize_static(
        str(prepared),
        str(target),
        TextFeeds(windows),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=["MatMul"],
        nodes_to_quantize=[
            node.name
            for node in graph.node
            if node.op_type == "MatMul"
            and node.input[1] in constants
            and not _FLOAT.search(node.name)
        ],
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        calibrate_method=CalibrationMethod.MinMax,
        # Requantizing the outputs would round twice for nothing.
        extra_options={"OpTypesToExcludeOutputQuantization": ["MatMul"], "WeightSymmetric": True},
    )
    prepared.unlink()


def quantize_embedding(graph: onnx.GraphProto) -> None:
    """Store the largest gathered table as 8-bit rows with one scale each, in place."""
    tables = {i.name: i for i in graph.initializer}
    gather = max(
        (n for n in graph.node if n.op_type == "Gather" and n.input[0] in tables),
        key=lambda n: int(np.prod(tables[n.input[0]].dims)),
    )
    table = tables[gather.input[0]]
    weights = numpy_helper.to_array(table)
    scales = np.maximum(np.abs(weights).max(axis=1, keepdims=True), 1e-12) / 127.0
    rows = np.clip(np.rint(weights / scales), -127, 127).astype(np.int8)
    name, ids, output = table.name, gather.input[1], gather.output[0]
    position = list(graph.node).index(gather)
    graph.node.remove(gather)
    graph.initializer.remove(table)
    graph.initializer.extend(
        [
            numpy_helper.from_array(rows, f"{name}_rows"),
            numpy_helper.from_array(scales.astype(np.float32), f"{name}_scales"),
        ]
    )
    replacement = [
        helper.make_node("Gather", [f"{name}_rows", ids], [f"{name}_row"]),
        helper.make_node("Gather", [f"{name}_scales", ids], [f"{name}_scale"]),
        helper.make_node("Cast", [f"{name}_row"], [f"{name}_cast"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Mul", [f"{name}_cast", f"{name}_scale"], [output]),
    ]
    for offset, node in enumerate(replacement):
        graph.node.insert(position + offset, node)
