"""One answer of a local model on its way."""

import torch
from torch import Tensor

from monoseme.core.seeds import derive_seed
from monoseme.judges._base import Question, Reply, TokenChance
from monoseme.judges._grammar import Guide
from monoseme.models import LanguageModel, TokenEvent


class Hand:
    """Leads one answer: masks what its type forbids, draws where a temperature asks for it, and notes the chances."""

    def __init__(self, question: Question, guide: Guide | None, *, room: int, ends_at_blank: bool) -> None:
        """`room` is how many tokens the answer may have. `ends_at_blank`: a free text ends at an empty line, as it does in the
        prompt of a model without a chat template, which would go on with a question of its own."""
        self.ids: list[int] = []
        self._question = question
        self._guide = guide
        self._room = room
        self._ends_at_blank = ends_at_blank and guide is None
        self._text = ""
        self._likeliest: list[dict[int, float]] = []
        # From the question itself, so that the same one is answered alike in whatever batch it is.
        self._random = torch.Generator().manual_seed(derive_seed(0, "judge", question.key({})))

    @property
    def n_left(self) -> int:
        """Tokens that may still be written (count)."""
        return self._room - len(self.ids)

    @property
    def _is_blank(self) -> bool:
        return self._ends_at_blank and "\n\n" in self._text.lstrip()

    def is_done(self, end_ids: frozenset[int]) -> bool:
        """Whether the answer is whole, or has no room left."""
        return self.n_left <= 0 or self._is_blank or (bool(self.ids) and self.ids[-1] in end_ids)

    def steer(self, logits: Tensor, end_ids: frozenset[int]) -> Tensor:
        """Logits [V] of which the largest is the token to take."""
        if self._is_blank and end_ids:
            return _only(logits, min(end_ids))
        logits = logits.float() if self._guide is None else self._guide.mask(logits.float())
        if self._question.n_logprobs:
            self._note(torch.log_softmax(logits, dim=-1))
        if self._question.temperature > 0.0:
            chances = torch.softmax(logits / self._question.temperature, dim=-1).cpu()
            return _only(logits, int(torch.multinomial(chances, 1, generator=self._random)))
        return logits

    def take(self, event: TokenEvent) -> None:
        """Hears of the token that was taken."""
        self.ids.append(event.token_id)
        self._text += event.text
        if self._guide is not None:
            self._guide.take(event.token_id)

    def reply(self, model: LanguageModel, n_prompt: int) -> Reply:
        """The answer, whole or cut off; chances are those among the tokens that the answer's type allows."""
        text = model.tokenizer.decode(self.ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        text = text if self._guide is not None else text.strip()
        is_whole = self._is_blank or (bool(self.ids) and self.ids[-1] in model.end_ids)
        return Reply(
            text=text.partition("\n\n")[0] if self._is_blank else text,
            failure=None if is_whole else "cut off at max_tokens",
            input_tokens=n_prompt,
            output_tokens=len(self.ids),
            tokens=self._chances(model),
        )

    def _note(self, chances: Tensor) -> None:
        best = chances.topk(min(self._question.n_logprobs, chances.shape[0]))
        pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        self._likeliest.append({token: value for token, value in pairs if value > float("-inf")})

    def _chances(self, model: LanguageModel) -> tuple[TokenChance, ...]:
        found: list[TokenChance] = []
        for token, likeliest in zip(self.ids, self._likeliest, strict=False):
            if token not in model.end_ids:
                # Of two tokens that read alike the likelier one, which is the first.
                texts = list(zip(model.decode_tokens(list(likeliest)), likeliest.values(), strict=True))
                found.append(TokenChance(model.decode_tokens([token])[0], dict(reversed(texts))))
        return tuple(found)


def _only(logits: Tensor, token: int) -> Tensor:
    """Logits [V] that allow one token."""
    only = torch.full_like(logits, float("-inf"))
    only[token] = 0.0
    return only
