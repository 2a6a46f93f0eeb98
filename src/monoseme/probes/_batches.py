"""Where the examples of a probe come from, batch by batch: a tensor, an array on disk, sparse rows, or a stream.

Letters: N examples, B of a batch, C classes, D features.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, Protocol, cast, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray

from monoseme.core.errors import TrainingError
from monoseme.core.seeds import derive_seed
from monoseme.tensors.shapes import Float, Tensor


class Batch(NamedTuple):
    """Some examples."""

    x: Any
    """[B, D]: a tensor, or SciPy's sparse rows."""
    y: Float[Tensor, "B C"]


@runtime_checkable
class Examples(Protocol):
    """Examples that can be gone through as often as wanted."""

    n_features: int
    n: int
    n_positive: Float[Tensor, " C"]
    """Examples of each class, float64."""

    def batches(self, epoch: int) -> Iterator[Batch]:
        """All examples once."""
        ...


class _SparseProduct(torch.autograd.Function):
    """SciPy's product of sparse rows with a matrix, and its gradient.

    torch's own (`embedding_bag`) takes 25 times as long for the gradient on the CPU: of 4,096 rows of 25 entries, 8,192 latents
    and 26 classes 28 ms, this 1 ms.
    """

    @staticmethod
    def forward(ctx: Any, weight: Float[Tensor, "D C"], x: Any) -> Float[Tensor, "B C"]:
        ctx.x = x
        return torch.from_numpy(x @ weight.detach().numpy())

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Float[Tensor, "D C"], None]:
        return torch.from_numpy(ctx.x.T @ grads[0].numpy()), None


def times(x: Any, weight: Float[Tensor, "D C"]) -> Float[Tensor, "B C"]:
    """x @ weight, differentiable in the weight, without a dense matrix where x is sparse."""
    if isinstance(x, Tensor):
        return x @ weight
    product: Tensor = _SparseProduct.apply(weight, x)  # pyright: ignore[reportAssignmentType]
    return product


class ArrayExamples:
    """Rows of a tensor, an array (which may be mapped from a file) or SciPy's CSR, in another order each epoch."""

    def __init__(self, x: Any, y: NDArray[Any], rows: NDArray[np.int64], *, batch_size: int, seed: int) -> None:
        self._x, self._y, self._rows = x, y, rows
        self._batch_size, self._seed = batch_size, seed
        self.n, self.n_features = len(rows), int(x.shape[1])
        self.n_positive = torch.from_numpy(np.asarray(y[rows], dtype=np.float64).sum(0))

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Rows of a batch are read in ascending order: a file is read forwards, and a sum does not mind."""
        order = np.random.default_rng(derive_seed(self._seed, "epoch", epoch)).permutation(self._rows)
        for first in range(0, self.n, self._batch_size):
            some = np.sort(order[first : first + self._batch_size])
            yield Batch(_rows(self._x, some), torch.from_numpy(np.asarray(self._y[some], dtype=np.float32)))


class StreamedExamples:
    """What `read` yields, (x [B, D], y [B, C]) as often as it is called; batches and their order are its own.

    The first pass counts. Raises TrainingError where a pass yields nothing.
    """

    def __init__(self, read: Callable[[], Iterable[tuple[Any, Any]]]) -> None:
        self._read = read
        self.n, self.n_features = 0, 0
        n_positive: Any = 0
        for x, y in read():
            n_positive = n_positive + torch.as_tensor(y).double().sum(0)
            self.n, self.n_features = self.n + len(y), int(x.shape[1])
        self._require(self.n)
        self.n_positive = cast(Tensor, n_positive)

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Another call of `read`."""
        del epoch
        n = 0
        for x, y in self._read():
            n += len(y)
            yield Batch(_rows(x, None), torch.as_tensor(y).float())
        self._require(n)

    @staticmethod
    def _require(n: int) -> None:
        if not n:
            raise TrainingError(
                "the stream of examples is empty.\n  Give a function that starts anew each time it is called, such as a "
                "generator function; an iterator that was used up cannot."
            )


def _rows(x: Any, rows: NDArray[np.int64] | None) -> Any:
    """As float64 where they are, else float32; sparse rows stay sparse."""
    if isinstance(x, Tensor):
        some = x if rows is None else x[torch.from_numpy(rows).to(x.device)]
        return some if some.dtype == torch.float64 else some.float()
    some = x if rows is None else x[rows]
    some = some if some.dtype == np.float64 else some.astype(np.float32, copy=False)
    return torch.from_numpy(np.ascontiguousarray(some)) if isinstance(some, np.ndarray) else some
