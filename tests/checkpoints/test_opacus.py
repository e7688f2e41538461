"""A step of DP-SGD as Opacus makes it: the sum of clipped gradients gives the batch back, and noise moves it as the error bars say."""

from __future__ import annotations

import numpy as np
import pytest

import identify as idf

SAMPLES, CLIP = 6, 1.0


def step(noise_multiplier):
    """A small classifier, and the sum of the clipped gradients of its samples with noise, as the optimiser of Opacus leaves it."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    opacus = pytest.importorskip("opacus", reason="Opacus is not installed")
    from opacus.optimizers import DPOptimizer

    torch.manual_seed(0)
    model = torch.nn.Sequential(
        *(torch.nn.Linear(24, 60), torch.nn.ReLU(), torch.nn.Linear(60, 50), torch.nn.ReLU(), torch.nn.Linear(50, 4))
    ).double()
    X, y = torch.randn(SAMPLES, 24, dtype=torch.float64), torch.tensor([0, 1, 2, 3, 0, 1])
    sampled = opacus.GradSampleModule(model, loss_reduction="mean")
    generator = torch.Generator().manual_seed(1)
    optimiser = DPOptimizer(
        torch.optim.SGD(sampled.parameters(), lr=0.1),
        noise_multiplier=noise_multiplier,
        max_grad_norm=CLIP,
        expected_batch_size=SAMPLES,
        generator=generator,
    )
    torch.nn.functional.cross_entropy(sampled(X), y).backward()
    norms = torch.sqrt(sum((p.grad_sample**2).flatten(1).sum(1) for p in sampled.parameters()))
    assert (norms > CLIP).any()
    optimiser.pre_step()  # clips, adds noise, divides by the batch size
    net = idf.Network.of(model)
    gradients = [part.grad.numpy() for part in model.parameters()]
    layers = {k + 1: (-W, -b) for k, (W, b) in enumerate(zip(gradients[::2], gradients[1::2], strict=True))}
    return idf.KKTSystem.gradient(net, layers=layers), X.numpy(), y.numpy()


@pytest.mark.filterwarnings("ignore")
def test_clipping_alone_changes_the_multipliers_only():
    system, X, y = step(0.0)
    found = idf.recover(system, judge=False)
    match = found.match(X, np.zeros((SAMPLES, 4)))
    assert match.errors.max() < 1e-9
    assert np.array_equal(found.labels[match.order], y)


@pytest.mark.filterwarnings("ignore")
def test_noise_moves_the_samples_as_the_error_bars_say():
    system, X, _ = step(1e-3)
    found = idf.recover(system, samples=SAMPLES, judge=False)
    match = found.match(X, np.zeros((SAMPLES, 4)))
    ratios = match.errors * np.linalg.norm(X, axis=1) / found.error_bars[match.order]
    assert match.errors.max() < 0.2 and 0.5 < np.sqrt(np.mean(ratios**2)) < 2
