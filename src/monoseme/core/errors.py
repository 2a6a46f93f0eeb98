"""Every error that a user can mend, as one tree; anything else that escapes is our own mistake.

    MonosemeError
    ├── ConfigError              a setting is unknown, of the wrong type or out of range
    ├── PluginError              a plug-in could not be imported, or two have one name
    │   └── UnknownPluginError
    ├── ExtraMissingError        an optional dependency is not installed
    ├── ArtifactError
    │   ├── ArtifactMissingError
    │   ├── ArtifactExistsError
    │   ├── ArtifactKindError
    │   ├── ArtifactVersionError
    │   └── ArtifactDamagedError
    ├── DiskFullError
    ├── AddressError             a folder at an address cannot be reached, or may not be used
    ├── ForeignError             a file of another tool cannot be read, or not safely
    ├── SiteError                a model has no such place, or an SAE reads another one
    ├── ModelError
    │   ├── ModelNotFoundError
    │   └── GatedModelError
    ├── CorpusError
    │   ├── EmptyCorpusError
    │   └── BadRowError
    ├── TrainingError
    │   ├── NonFiniteLossError
    │   ├── ResumeError
    │   └── Interrupted          stopped by the user, resumable (exit code 130)
    ├── JudgeError               a language model that explains or judges cannot be reached, or refuses all questions
    │   └── BudgetError
    ├── UndefinedMetricError     a number that does not exist for this input
    └── ServeError
        └── PortInUseError

A message says what was wrong, what was given, what is allowed and what to type; the command line shows it without a traceback
and exits with `exit_code`.
"""

from typing import ClassVar


class MonosemeError(Exception):
    """Something the user can mend."""

    exit_code: ClassVar[int] = 2


class ConfigError(MonosemeError):
    """A setting is unknown, of the wrong type or out of range."""


class PluginError(MonosemeError):
    """A plug-in could not be imported, does not define what its kind asks for, or two have one name."""


class UnknownPluginError(PluginError):
    """No plug-in of this kind has the name asked for."""


class ExtraMissingError(MonosemeError):
    """An optional dependency is not installed."""

    def __init__(self, what: str, *, extra: str) -> None:
        """`what` needs it; `extra` is the name in `pip install "monoseme[extra]"`."""
        super().__init__(f'{what} needs an optional dependency.\n  Install it with:  pip install "monoseme[{extra}]"')
        self.extra = extra


class ArtifactError(MonosemeError):
    """A folder that we wrote, or should have written, cannot be used as asked."""


class ArtifactMissingError(ArtifactError):
    """There is no complete artifact at this path."""


class ArtifactExistsError(ArtifactError):
    """The output folder is there already."""


class ArtifactKindError(ArtifactError):
    """The artifact is of another kind than the one asked for."""


class ArtifactVersionError(ArtifactError):
    """The artifact was written by a newer version."""


class ArtifactDamagedError(ArtifactError):
    """A file of the artifact is missing, cut short or altered."""


class DiskFullError(MonosemeError):
    """The disk, or the user's quota, is full."""


class AddressError(MonosemeError):
    """A folder at an address (s3://, gs://, hf://) cannot be reached, or may not be read or written."""


class ForeignError(MonosemeError):
    """A file or folder that another tool wrote cannot be read, is not what it says, or could run a program when it is read."""


class SiteError(MonosemeError):
    """A model has no such place, or an SAE reads another one."""


class ModelError(MonosemeError):
    """A language model cannot be loaded or used as asked."""


class ModelNotFoundError(ModelError):
    """No model at this path or hub id."""


class GatedModelError(ModelError):
    """The hub asks for an accepted licence or a token."""


class CorpusError(MonosemeError):
    """A corpus cannot be read."""


class EmptyCorpusError(CorpusError):
    """A corpus holds no document that passes the filters."""


class BadRowError(CorpusError):
    """A row of a corpus is broken and `strict` was asked for."""


class TrainingError(MonosemeError):
    """A training run cannot go on."""


class NonFiniteLossError(TrainingError):
    """A loss is NaN or infinite."""


class ResumeError(TrainingError):
    """A run cannot be taken up to the same bits."""


class Interrupted(TrainingError):
    """Stopped by the user after writing a checkpoint."""

    exit_code: ClassVar[int] = 130


class JudgeError(MonosemeError):
    """A language model that explains or judges cannot be reached, or refuses all questions."""


class BudgetError(JudgeError):
    """The next question could cost more than is left of the budget."""


class UndefinedMetricError(MonosemeError):
    """A number that does not exist for this input, such as the explained variance of constant data."""


class ServeError(MonosemeError):
    """The web app cannot start as asked."""


class PortInUseError(ServeError):
    """Another program listens on the port."""
