"""Short pieces of work for a model; texts that wait to be read are read in one forward where that changes nothing.

Texts are padded on the right, where the attention of real tokens never looks. In float32 sums in another order move the last bits
alone; in a narrower type they would show, so there each text has a forward of its own.

Letters: n texts, S tokens, D width.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from monoseme.web.worker._queue import FairQueue

if TYPE_CHECKING:
    from monoseme.models import LanguageModel, ModelConfig, Site
    from monoseme.tensors.shapes import Tensor
    from monoseme.web.worker._kept import KeptModels

_MOST_TEXTS = 8
_MOST_TOKENS = 2048
"""Of one forward, padding included: with more, whoever asked first would wait noticeably longer for the others."""


class Unread(Protocol):
    """A text that is to be read, and where."""

    @property
    def ids(self) -> Sequence[int]:
        """Its tokens, at least one."""
        ...

    @property
    def sites(self) -> "Sequence[Site]":
        """The sites whose activations are wanted."""
        ...


@dataclass(frozen=True, eq=False)
class Call:
    """A piece of work: on the model, or on what the model makes of a text."""

    config: "ModelConfig"
    work: Callable[..., Any]
    """Of the model; where `ask` is given, of what it gave and the activations there, [1, S, D] at each site."""
    answer: "Future[Any]"
    ask: "Callable[[LanguageModel], Unread] | None" = None

    def finish(self, work: Callable[[], Any]) -> None:
        """Answers with what `work` gives or raises."""
        try:
            self.answer.set_result(work())
        except BaseException as error:  # noqa: BLE001 - the edge of the thread: whoever asked gets it
            self.answer.set_exception(error)


def take_together(queue: FairQueue[Call]) -> list[Call]:
    """The next call; if it is a text to be read, with others like it that are next for their clients."""
    first = queue.take()
    if first is None or first.ask is None:
        return [] if first is None else [first]
    calls = [first]
    while len(calls) < _MOST_TEXTS:
        other = queue.take(lambda call: call.ask is not None and call.config == first.config)
        if other is None:
            break
        calls.append(other)
    return calls


def do(calls: Sequence[Call], kept: "KeptModels") -> None:
    """Answers all of them."""
    wanted = [call for call in calls if call.answer.set_running_or_notify_cancel()]
    texts: list[tuple[Call, Unread]] = []
    for call in wanted:
        try:
            model = kept.model(call.config)
            if call.ask is not None:
                texts.append((call, call.ask(model)))
        except BaseException as error:  # noqa: BLE001 - the edge of the thread: whoever asked gets it
            call.answer.set_exception(error)
            continue
        if call.ask is None:
            call.finish(lambda call=call, model=model: call.work(model))
    for group in _groups(texts, kept):
        _read(group, kept.model(group[0][0].config))


def _groups(texts: list[tuple[Call, Unread]], kept: "KeptModels") -> list[list[tuple[Call, Unread]]]:
    """Those that are read in one forward."""
    import torch

    together = bool(texts) and kept.model(texts[0][0].config).dtype is torch.float32
    fits = len(texts) * max((len(text.ids) for _, text in texts), default=0) <= _MOST_TOKENS
    return [texts] if together and fits else [[text] for text in texts]


def _read(group: list[tuple[Call, Unread]], model: "LanguageModel") -> None:
    try:
        captured = _captured([text for _, text in group], model)
    except BaseException as error:  # noqa: BLE001 - the edge of the thread: whoever asked gets it
        for call, _ in group:
            call.answer.set_exception(error)
        return
    for row, (call, text) in enumerate(group):
        own = {site: captured[site][row : row + 1, : len(text.ids)] for site in text.sites}
        call.finish(lambda call=call, text=text, own=own: call.work(text, own))


def _captured(texts: list[Unread], model: "LanguageModel") -> "Mapping[Site, Tensor]":
    """[n, S, D] at every site that one of them wants."""
    import torch

    longest = max(len(text.ids) for text in texts)
    rows = torch.zeros(len(texts), longest, dtype=torch.int64)
    real = torch.zeros(len(texts), longest, dtype=torch.bool)
    for row, text in enumerate(texts):
        rows[row, : len(text.ids)] = torch.tensor(text.ids)
        real[row, : len(text.ids)] = True
    sites = dict.fromkeys(site for text in texts for site in text.sites)
    alone = len(texts) == 1
    return model.capture(rows.to(model.device), list(sites), real=None if alone else real.to(model.device))
