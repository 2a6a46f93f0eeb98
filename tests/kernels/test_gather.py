"""Rows picked from many matrices are the rows asked for, widened exactly, by the loop and by torch alike."""

import pytest
import torch

from monoseme.kernels import choose_kernels
from monoseme.kernels.gather import RowTable, gather_by_table, gather_rows

N, D = 97, 7


def _tables(width: int = D) -> list[RowTable]:
    """Each stored type, more than once, of different lengths; with what is hard to widen in the first rows."""
    rng = torch.Generator().manual_seed(0)
    found: list[RowTable] = []
    for i, dtype in enumerate([torch.float32, torch.bfloat16, torch.float16, torch.int8] * 2):
        x = 10 * torch.randn(11 + i, width, generator=rng)
        if dtype is torch.int8:
            found.append(RowTable(x.clamp(-127, 127).round().to(dtype), torch.rand(len(x), generator=rng)))
            continue
        x[0], x[1], x[2] = 65504.0, 3e-6, -5.9e-8  # largest, a subnormal and the smallest of float16
        x[3], x[4] = float("inf"), float("-inf")
        found.append(RowTable(x.to(dtype)))
    return found


def _picks(n_tables: int) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(1)
    return torch.randint(0, n_tables, (N,), generator=rng), torch.randint(-1, 11, (N,), generator=rng)


@pytest.mark.parametrize("choice", ["auto", "torch"])
@pytest.mark.parametrize("width", [1, D, 67])
def test_every_row_is_the_one_asked_for(choice: str, width: int) -> None:
    tables = _tables(width)
    table, row = _picks(len(tables))
    out = torch.full((N, width), float("nan"))
    with choose_kernels(choice):
        gather_rows(tables, table, row, out)
    for n in range(N):
        one, r = tables[int(table[n])], int(row[n])
        factor = 1.0 if one.scale is None else one.scale[r]
        expected = torch.zeros(width) if r < 0 else one.rows[r].float() * factor
        assert torch.equal(out[n], expected)


def test_every_number_of_16_bits_is_widened_exactly() -> None:
    for dtype in (torch.float16, torch.bfloat16):
        every = torch.arange(1 << 16, dtype=torch.int32).to(torch.int16).view(dtype).reshape(-1, 16)
        out = torch.empty(len(every), 16)
        gather_rows([RowTable(every)], torch.zeros(len(every), dtype=torch.int64), torch.arange(len(every)), out)
        expected = every.float()
        assert torch.equal(out.isnan(), expected.isnan())
        # Bits, so that -0 differs from 0.
        assert torch.equal(out.view(torch.int32)[~out.isnan()], expected.view(torch.int32)[~out.isnan()])


def test_rows_that_are_not_widened_stay_as_they_are() -> None:
    for dtype in (torch.bfloat16, torch.float16, torch.float64):
        tables = [RowTable(torch.randn(11, D, generator=torch.Generator().manual_seed(i)).to(dtype)) for i in range(3)]
        table, row = _picks(3)
        out, twin = torch.empty(N, D, dtype=dtype), torch.empty(N, D, dtype=dtype)
        gather_rows(tables, table, row, out)
        gather_by_table(tables, table, row, twin)
        assert torch.equal(out, twin)
        assert torch.equal(out[row >= 0], torch.stack([tables[t].rows[r] for t, r in zip(table, row, strict=True) if r >= 0]))


@pytest.mark.parametrize("row", [11, -2])
def test_a_row_outside_its_table_is_refused(row: int) -> None:
    with pytest.raises(IndexError, match="11"):
        gather_rows([RowTable(torch.zeros(11, D))], torch.tensor([0, 0]), torch.tensor([0, row]), torch.empty(2, D))


def test_nothing_asked_for_is_nothing_done() -> None:
    none = torch.empty(0, dtype=torch.int64)
    gather_rows([], none, none, torch.empty(0, D))
