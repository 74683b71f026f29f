"""Passes through a network: in evaluation mode over many rows, in shorter numbers, and where memory runs out."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from models.errors import MachineError

_EVALUATED_ROWS = 128
# Norms over a batch need two.
_LEAST_ROWS = 2


def outputs_of(
    model: nn.Module, inputs_of: Callable[[NDArray[np.int64]], torch.Tensor], rows: NDArray[np.int64]
) -> NDArray[np.float32]:
    """(N, ...) what a model, or its body, says of rows, in evaluation mode."""
    model.eval()

    def outputs(part: NDArray[np.int64]) -> list[NDArray[np.float32]]:
        try:
            return [model(inputs_of(part)).float().cpu().numpy()]
        except (MemoryError, RuntimeError) as error:
            half = fewer_rows(len(part), error)
        return outputs(part[:half]) + outputs(part[half:])

    parts = np.array_split(rows, max(-(-len(rows) // _EVALUATED_ROWS), 1))
    with torch.inference_mode():
        return np.concatenate([found for part in parts for found in outputs(part)])


def precision(name: str, device: torch.device) -> AbstractContextManager[object]:
    """Where a forward pass may use bfloat16, if that is its name."""
    return torch.autocast(device.type, dtype=torch.bfloat16) if name == "bfloat16" else nullcontext()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on a GPU or, in torch's words, on a CPU."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)


def fewer_rows(rows: int, error: BaseException) -> int:
    """Half as many rows as did not fit into memory, which is given back.

    Args:
        rows: that did not go through.
        error: what stopped them; any that is not about memory is raised again.

    Raises:
        MachineError: fewer than two are no batch.
    """
    if not is_out_of_memory(error):
        raise error
    if rows // 2 < _LEAST_ROWS:
        raise MachineError(
            f"memory runs out with {_LEAST_ROWS} pictures at a time",
            "a smaller network or input",
            "Set training.size_px.",
        )
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.empty_cache()
    return rows // 2
