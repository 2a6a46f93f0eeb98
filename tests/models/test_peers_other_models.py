"""Models of TransformerLens (classic and bridge) and nnsight as ours: what ours gives on the same weights, at every site."""

from pathlib import Path

import pytest
from tests.adapters.environment import run_script

pytestmark = [pytest.mark.peers, pytest.mark.timeout(900)]

EXACT = 2e-5
"""Of the largest entry: attention and norms are written in another order there."""
ALL = ["resid_pre", "attn_in", "head_out", "head_mix", "attn_out", "mlp_in", "mlp_out", "resid_post"]
OWN_HOOKS = ["resid_pre", "head_out", "attn_out", "mlp_in", "mlp_out", "resid_post"]


@pytest.mark.parametrize(
    ("environment", "kind", "family"),
    [
        ("saebench", "classic", "llama"),
        ("saebench", "classic", "gpt2"),
        ("saebench", "classic", "bundled"),
        ("hooked", "bridge", "bundled"),
        ("hooked", "nnsight", "gpt2"),
        ("hooked", "nnsight", "bundled"),
    ],
)
def test_it_is_the_same_model(tmp_path: Path, environment: str, kind: str, family: str) -> None:
    found = run_script(environment, "our_model", kind, family, tmp_path)
    assert found["kinds"] == (OWN_HOOKS if kind == "classic" else ALL)
    for name in ("captured", "edited", "run_from", "unembed", "gradient", "prefix"):
        assert found[name] < EXACT, name
    assert found["generated"] == [[True, True]] * 3
    if kind == "classic":
        assert found["hook"] < EXACT
        assert found["hook_error_term"] == 0
        assert "mlp_in" not in found["kinds_when_processed"]
    if kind == "nnsight":
        assert found["still_traces"] < EXACT
    else:
        assert "processed" in found["refused"]
