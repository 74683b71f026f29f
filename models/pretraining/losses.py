"""What makes two views of a picture alike without making all pictures alike."""

from __future__ import annotations

import torch
from torch.nn import functional

# Of the paper: weights of invariance, variance and covariance.
_INVARIANCE, _VARIANCE, _COVARIANCE = 25.0, 25.0, 1.0
_LEAST_VARIANCE = 1e-4


def vicreg_loss(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Views near each other, every number varied over the batch, no number told by another (arXiv 2105.04906, eq. 6).

    Args:
        first: (N, D) of one view of N pictures.
        second: (N, D) of another.
    """
    invariance = functional.mse_loss(first, second)
    variance, covariance = torch.zeros((), device=first.device), torch.zeros((), device=first.device)
    for rows in (first, second):
        centred = rows - rows.mean(0)
        sd = (centred.var(0) + _LEAST_VARIANCE).sqrt()
        variance = variance + functional.relu(1 - sd).mean() / 2
        products = centred.T @ centred / (len(rows) - 1)
        others = products - torch.diag(products.diagonal())
        covariance = covariance + (others**2).sum() / rows.shape[1]
    return _INVARIANCE * invariance + _VARIANCE * variance + _COVARIANCE * covariance


def simclr_loss(first: torch.Tensor, second: torch.Tensor, temperature: float) -> torch.Tensor:
    """Of all other views in the batch, a view's own twin has to be the nearest (NT-Xent, arXiv 2002.05709, eq. 1).

    Args:
        first: (N, D) of one view of N pictures.
        second: (N, D) of another.
        temperature: the smaller, the more the nearest others count.
    """
    rows = functional.normalize(torch.cat([first, second]), dim=1)
    likeness = rows @ rows.T / temperature
    likeness = likeness.masked_fill(torch.eye(len(rows), dtype=torch.bool, device=rows.device), float("-inf"))
    twin = torch.arange(len(rows), device=rows.device).roll(len(first))
    return functional.cross_entropy(likeness, twin)
