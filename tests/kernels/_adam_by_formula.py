"""The step of `monoseme.kernels._rows`, written out in float64: what every set's update by rows is compared with."""

import torch

from monoseme.kernels import AdamRule, RowMatrix


def stepped(matrix: RowMatrix, gradient: torch.Tensor, rule: AdamRule, scale: float = 1.0) -> list[torch.Tensor]:
    """Weight, both moments and the squared norm of the projected gradient, after the step; the matrix stays as it is."""
    w, m, v, g = (t.double() for t in (matrix.weight, matrix.exp_avg, matrix.exp_avg_sq, gradient))
    if matrix.unit:
        g = g - (g * w).sum(1, keepdim=True) * w
    square = g.square().sum()
    g = scale * g + (0.0 if rule.decoupled else rule.weight_decay) * w
    w = w * (1 - rule.lr * rule.weight_decay) if rule.decoupled else w
    m = rule.beta1 * m + (1 - rule.beta1) * g
    v = rule.beta2 * v + (1 - rule.beta2) * g * g
    w = w - rule.lr * (m / (1 - rule.beta1**rule.step)) / ((v / (1 - rule.beta2**rule.step)).sqrt() + rule.eps)
    norms = w.norm(dim=1, keepdim=True)
    return [torch.where(norms > 0, w / norms, w) if matrix.unit else w, m, v, square]
