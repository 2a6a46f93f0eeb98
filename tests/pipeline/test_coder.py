"""Running a run's SAE on new text gives what model and SAE give by hand."""

import numpy as np
import pytest
import torch

from monoseme.atlas import open_atlas
from monoseme.core.errors import ConfigError
from monoseme.pipeline import Materials, RunFolder, open_saes, run_config
from monoseme.pipeline._coder import coder_of


def test_a_text_has_the_codes_that_model_and_sae_give_it(run: RunFolder) -> None:
    model = Materials(run_config(run)).model
    for key in open_atlas(run.atlas).saes():
        named = next(sae for sae in open_saes(str(run.path)) if sae.name == key.partition("@")[0].partition(".novel")[0])
        if named.sae.reads != "tokens":
            continue
        (coded,) = coder_of(run, key)(["the cat sat"], [3, 0])
        plain = model.tokenizer("the cat sat", add_special_tokens=False)["input_ids"]
        bos = [] if model.tokenizer.bos_token_id is None else [model.tokenizer.bos_token_id]
        tokens = torch.tensor([bos + plain])
        x = model.capture(tokens, [named.site])[named.site][0, len(bos) :]
        expected = named.sae.encode(x).dense()[:, [3, 0]]
        assert coded.texts == tuple(model.decode_tokens(plain))
        np.testing.assert_allclose(coded.values, expected.detach().numpy(), rtol=1e-5, atol=1e-6)


def test_long_and_empty_texts_are_cut_and_empty(run: RunFolder) -> None:
    key = open_atlas(run.atlas).saes()[0]
    longest = run_config(run).corpus.context_len
    coded = coder_of(run, key)(["", "the " * 500], [0])
    assert (coded[0].texts, coded[0].values.shape) == ((), (0, 1))
    assert 0 < len(coded[1].texts) <= longest


def test_an_sae_that_the_run_has_not_is_refused(run: RunFolder) -> None:
    with pytest.raises(ConfigError, match='no SAE "nothing"'):
        coder_of(run, "nothing")
