"""Weights of the lesson's network at random."""

import torch

N_WEIGHTS = 30


def random_numbers(seed, *, zeros=0.0):
    g = torch.Generator().manual_seed(seed)
    numbers = torch.randn(N_WEIGHTS, generator=g, dtype=torch.float64)
    numbers[torch.rand(N_WEIGHTS, generator=g) < zeros] = 0
    return numbers.tolist()
