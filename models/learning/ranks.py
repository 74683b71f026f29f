"""Processes that train one model side by side, and a world of one for everybody else."""

from __future__ import annotations

import os
from typing import NamedTuple

import torch
from torch import distributed, nn


class World(NamedTuple):
    """The rank of this process among `size`."""

    rank: int
    size: int

    def wrapped(self, model: nn.Module) -> nn.Module:
        """The model with gradients that are averaged over all ranks."""
        if self.size == 1:
            return model
        devices = None if next(model.parameters()).device.type == "cpu" else [next(model.parameters()).device]
        return nn.parallel.DistributedDataParallel(model, device_ids=devices)

    def mean(self, value: float) -> float:
        """The mean of a number over all ranks, the same on each."""
        if self.size == 1:
            return value
        tensor = torch.tensor([value], dtype=torch.float64, device=_device())
        distributed.all_reduce(tensor)
        return float(tensor) / self.size

    def shared(self, text: str) -> str:
        """The text that rank 0 has."""
        if self.size == 1:
            return text
        texts: list[str] = [text]
        distributed.broadcast_object_list(texts, src=0)
        return texts[0]

    def wait(self) -> None:
        """Until every rank is here."""
        if self.size > 1:
            distributed.barrier()


ALONE = World(0, 1)


def join_world() -> World:
    """The world that torchrun's environment names, joined; gloo on CPUs, nccl on GPUs."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return ALONE
    distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    return World(distributed.get_rank(), distributed.get_world_size())


def _device() -> torch.device:
    return torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")
