"""The squared error and its gradient written out equal autograd's."""

import torch

from monoseme.saes._squared_error import squared_error


def _pair(dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    stream = torch.Generator().manual_seed(0)
    x, x_hat = (torch.randn(5, 7, generator=stream, dtype=torch.float64).to(dtype).requires_grad_() for _ in range(2))
    return x, x_hat


def test_mean_residual_and_squares_are_what_they_say() -> None:
    x, x_hat = _pair(torch.float64)
    error = squared_error(x, x_hat)
    assert torch.allclose(error.mean, (x - x_hat).square().sum(1).mean(), rtol=1e-14)
    assert torch.equal(error.residual, (x - x_hat).detach())
    assert not error.residual.requires_grad
    assert torch.allclose(error.squares, (x - x_hat).square().sum(1), rtol=1e-14)
    assert not error.squares.requires_grad


def test_the_gradient_reaches_both_and_matches_finite_differences() -> None:
    assert torch.autograd.gradcheck(lambda x, x_hat: squared_error(x, x_hat).mean, _pair(torch.float64))


def test_the_gradient_is_of_a_mean_that_is_scaled_later() -> None:
    x, x_hat = _pair(torch.float32)
    (3.0 * squared_error(x, x_hat).mean).backward()
    assert torch.allclose(x_hat.grad, -6.0 / 5 * (x - x_hat).detach(), rtol=1e-6)
    assert torch.equal(x.grad, -x_hat.grad)


def test_a_perfect_reconstruction_has_a_gradient_of_zero() -> None:
    x, _ = _pair(torch.float32)
    x_hat = x.detach().clone().requires_grad_()
    squared_error(x, x_hat).mean.backward()
    assert not x_hat.grad.any()
