"""Recurrent networks, which read a picture as sequences of lines.

Sides are fixed and only the batch is free, so that each layer becomes one native GRU or LSTM node in ONNX.
"""

from __future__ import annotations

import torch
from torch import nn

from models.networks.registry import Build, register_network

_STEM_WIDTHS = (32, 64, 96)
_STEM_STRIDES = (1, 2, 2)
_COLUMN_STATES = 64
_ROW_STATES = 96
_LINE_WIDTH = 128
_LINE_STATES = 96


class ReNet(nn.Module):
    """A convolutional stem, then GRUs both ways along columns and along rows (arXiv 1505.00393).

    Behind the second GRU every place of the map has seen the whole picture. The paper's first layer reads raw patches;
    convolutions learn faster from few pictures.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        widths = (channels, *_STEM_WIDTHS)
        self.stem = nn.Sequential(
            *(
                _convolution(widths[position], widths[position + 1], stride)
                for position, stride in enumerate(_STEM_STRIDES)
            )
        )
        self.columns = nn.GRU(widths[-1], _COLUMN_STATES, bidirectional=True, batch_first=True)
        self.rows = nn.GRU(2 * _COLUMN_STATES, _ROW_STATES, bidirectional=True, batch_first=True)

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        """(N, 192) embeddings of (N, channels, H, W) in 0..1."""
        maps = self.stem((picture - 0.5) / 0.25)
        _, depth, height, width = maps.shape
        lines = maps.permute(0, 3, 2, 1).reshape(-1, height, depth)
        lines, _ = self.columns(lines)
        lines = lines.reshape(-1, width, height, lines.shape[2]).transpose(1, 2).reshape(-1, width, lines.shape[2])
        lines, _ = self.rows(lines)
        pooled: torch.Tensor = lines.reshape(-1, height * width, lines.shape[2]).mean(1)
        return pooled


class RowLstm(nn.Module):
    """An LSTM that reads a picture row by row, from both ends: the plainest recurrent network.

    The mean over rows, since the last state alone has to carry the first row through all others.
    """

    def __init__(self, build: Build) -> None:
        super().__init__()
        self.line = nn.Sequential(
            nn.Linear(build.channels * build.size_px, _LINE_WIDTH), nn.LayerNorm(_LINE_WIDTH), nn.ReLU()
        )
        self.rows = nn.LSTM(_LINE_WIDTH, _LINE_STATES, bidirectional=True, batch_first=True)

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        """(N, 192) embeddings of (N, channels, H, W) in 0..1."""
        lines = ((picture - 0.5) / 0.25).transpose(1, 2).flatten(2)
        states, _ = self.rows(self.line(lines))
        pooled: torch.Tensor = states.mean(1)
        return pooled


@register_network("renet", size_px=32)
def build_renet(build: Build) -> nn.Module:
    """A ReNet with random weights."""
    return ReNet(build.channels)


@register_network("row_lstm", size_px=32)
def build_row_lstm(build: Build) -> nn.Module:
    """A RowLstm with random weights."""
    return RowLstm(build)


def _convolution(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )
