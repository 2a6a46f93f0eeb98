"""The SAEs of a study on labelled texts, the texts, and the means over them; what takes long is kept under `work`."""

import functools
import re
from collections.abc import Iterator
from pathlib import Path

from monoseme.core.display import get_display
from monoseme.core.errors import ConfigError
from monoseme.studies._kept_files import require_same_saes
from monoseme.studies._labelled.bundled_sets import BUNDLED_SETS, Labelled, bundled_set
from monoseme.studies._labelled.config import LabelledConfig
from monoseme.studies._labelled.groups import SAEBENCH_GROUPS
from monoseme.studies._labelled.hub_sets import drawn, hub_set
from monoseme.studies._labelled.pooled import Pooled, pool, read_pooled, write_pooled
from monoseme.studies._labelled.texts import LabelledTexts, tokenised
from monoseme.studies._labels import require_label, with_label
from monoseme.studies._probing.text import Frame, frame_of
from monoseme.studies._workbench import Subject, Workbench
from monoseme.text import CorpusConfig, TextTokenizer, read_documents

_PIECES = {"bundled:kind": 8}


class LabelledBench:
    """The subjects of a study, and its labelled texts by name.

    Attributes: `workbench`; `subjects`, those that read one site; `left_out`, subject -> why it is none of them.
    """

    def __init__(self, config: LabelledConfig, work: Path, *, workbench: Workbench | None = None) -> None:
        """`workbench` is taken where one is open. Raises what `Workbench` raises, ConfigError if no SAE is of one site."""
        self.config, self.work = config, work
        self.workbench = workbench if workbench is not None else Workbench(config, reads_text=False)
        several = [s for s in self.workbench.subjects if len(s.placed.inputs) > 1]
        self.subjects: list[Subject] = [s for s in self.workbench.subjects if s not in several]
        self.left_out = {s.name: f"it reads {len(s.placed.inputs)} sites, and this study is of one" for s in several}
        if not self.subjects:
            read = "reads" if len(several) == 1 else "read"
            raise ConfigError(f"no SAE is left: {', '.join(self.left_out)} {read} several sites, and this study is of one")
        for name, why in self.left_out.items():
            get_display().say(f"{name} is left out: {why}")
        self._texts: dict[str, LabelledTexts] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """The data sets."""
        return self.config.names

    @functools.cached_property
    def frame(self) -> Frame:
        """How a text stands in its context: as in the training of the SAEs, but of the length that the study asks for."""
        return frame_of(self.workbench.materials.text)._replace(context_len=self.config.text_tokens)

    def texts(self, name: str) -> LabelledTexts:
        """The labelled texts of that name. Raises CorpusError if they cannot be read, ConfigError for texts that make no task."""
        if name not in self._texts:
            config, sizes = self.config, self.config.sizes(name)
            found = tokenised(
                name,
                drawn(self._read(name), sizes.per_class, n_strata=1, seed=config.seed),
                TextTokenizer(self.workbench.model.tokenizer),
                room=self.frame.room,
                n_pieces=config.pieces_per_text or _PIECES.get(name, 1),
                least=min(config.least_per_class, sizes.per_class),
                test_fraction=sizes.test_fraction,
            )
            self._texts[name] = found.at_most(sizes.per_class, seed=config.seed)
        return self._texts[name]

    def pooled(self, name: str) -> Pooled:
        """The means over these texts; made once, then read from `work`. Raises ResumeError where that was of other SAEs."""
        require_same_saes(self.work / "pooled", {s.named.name: s.named.content_hash for s in self.workbench.found})
        file = self.work / "pooled" / f"{re.sub(r'[^A-Za-z0-9_.-]+', '_', name)}.safetensors"
        texts = self.texts(name)
        if not file.is_file():
            write_pooled(file, pool(self.workbench, self.subjects, texts, self.frame), texts)
        return read_pooled(file, texts)

    def _read(self, name: str) -> Iterator[Labelled]:
        config = self.config
        if name in BUNDLED_SETS:
            return bundled_set(name)
        if name in SAEBENCH_GROUPS:
            sizes = config.sizes(name)
            return hub_set(SAEBENCH_GROUPS[name], n_train=sizes.n_train // 2, n_test=sizes.n_test // 2, seed=config.seed)
        return self._of_corpus()

    def _of_corpus(self) -> Iterator[Labelled]:
        config = self.config
        label, second = config.label or "", config.second_label
        corpus: CorpusConfig = with_label(with_label(config.corpus, label), second)
        found = False
        for document in read_documents(corpus):
            if label in document.labels:
                found = True
                other = None if second is None else document.labels.get(second)
                yield Labelled(document.text, document.labels[label], document.source, other)
        if not found:
            require_label(self.workbench.materials.text, label, [])
