"""Stages put together: from a model and some text to a run's folder of artifacts."""

from typing import TYPE_CHECKING

from monoseme.core.lazy import lazy_attributes
from monoseme.pipeline._folder import RUN_FILE, RunFolder, has_given_saes, settings_in_use

if TYPE_CHECKING:
    from monoseme.pipeline._atlas import ScanRequest, scan_run, scan_saes
    from monoseme.pipeline._atlas_at import atlas_at, only_sae
    from monoseme.pipeline._capture import CaptureConfig, capture_run, captured_config
    from monoseme.pipeline._chat_form import ChatForm
    from monoseme.pipeline._check import check_place
    from monoseme.pipeline._config import (
        AtlasConfig,
        BesideConfig,
        RunConfig,
        RunSettings,
        StreamConfig,
        run_config_from_dict,
        run_config_to_dict,
    )
    from monoseme.pipeline._conversation import Answer, AnswerAsked, Conversation, answer_asked
    from monoseme.pipeline._evaluate import evaluate_run, evaluation_of, headline, measure, run_config
    from monoseme.pipeline._explain import AtlasPlace, Outcome, explain_atlas, explain_run, outcome_facts, score_atlas
    from monoseme.pipeline._explain_config import ExplainConfig, ScoreConfig
    from monoseme.pipeline._foreign_word import foreign_sae_text
    from monoseme.pipeline._found import OF_RUN, FoundSae, different_text, find_saes, require_one_model, run_of, settings_for
    from monoseme.pipeline._from_stores import from_stores
    from monoseme.pipeline._kept_run import keep_run
    from monoseme.pipeline._known_saes import KnownSaes, SteeringConfig
    from monoseme.pipeline._latent_words import LatentWord, SteerWord, steer_words, watch_words
    from monoseme.pipeline._materials import Materials
    from monoseme.pipeline._parted import SaePart, parted
    from monoseme.pipeline._places import takes_several_sites
    from monoseme.pipeline._report import gathered_report, report_run
    from monoseme.pipeline._run import run_all
    from monoseme.pipeline._saes import NamedSae, open_sae, open_saes
    from monoseme.pipeline._scan_config import ScanSettings
    from monoseme.pipeline._sessions import Arm, Session, SessionConfig, open_session
    from monoseme.pipeline._train import train_run
    from monoseme.pipeline._verify import verify_place
    from monoseme.pipeline._writer import Listener, PlacedLatent, TokenValues, Writer, Written

__all__ = [
    "OF_RUN",
    "RUN_FILE",
    "Answer",
    "AnswerAsked",
    "Arm",
    "AtlasConfig",
    "AtlasPlace",
    "BesideConfig",
    "CaptureConfig",
    "ChatForm",
    "Conversation",
    "ExplainConfig",
    "FoundSae",
    "KnownSaes",
    "LatentWord",
    "Listener",
    "Materials",
    "NamedSae",
    "Outcome",
    "PlacedLatent",
    "RunConfig",
    "RunFolder",
    "RunSettings",
    "SaePart",
    "ScanRequest",
    "ScanSettings",
    "ScoreConfig",
    "Session",
    "SessionConfig",
    "SteerWord",
    "SteeringConfig",
    "StreamConfig",
    "TokenValues",
    "Writer",
    "Written",
    "answer_asked",
    "atlas_at",
    "capture_run",
    "captured_config",
    "check_place",
    "different_text",
    "evaluate_run",
    "evaluation_of",
    "explain_atlas",
    "explain_run",
    "find_saes",
    "foreign_sae_text",
    "from_stores",
    "gathered_report",
    "has_given_saes",
    "headline",
    "keep_run",
    "measure",
    "only_sae",
    "open_sae",
    "open_saes",
    "open_session",
    "outcome_facts",
    "parted",
    "report_run",
    "require_one_model",
    "run_all",
    "run_config",
    "run_config_from_dict",
    "run_config_to_dict",
    "run_of",
    "scan_run",
    "scan_saes",
    "score_atlas",
    "settings_for",
    "settings_in_use",
    "steer_words",
    "takes_several_sites",
    "train_run",
    "verify_place",
    "watch_words",
]

__getattr__ = lazy_attributes(
    __name__,
    {
        "_atlas": ["ScanRequest", "scan_run", "scan_saes"],
        "_atlas_at": ["atlas_at", "only_sae"],
        "_capture": ["CaptureConfig", "capture_run", "captured_config"],
        "_config": [
            "AtlasConfig",
            "BesideConfig",
            "RunConfig",
            "RunSettings",
            "StreamConfig",
            "run_config_from_dict",
            "run_config_to_dict",
        ],
        "_evaluate": ["evaluate_run", "evaluation_of", "headline", "measure", "run_config"],
        "_explain": ["AtlasPlace", "Outcome", "explain_atlas", "explain_run", "outcome_facts", "score_atlas"],
        "_explain_config": ["ExplainConfig", "ScoreConfig"],
        "_found": ["OF_RUN", "FoundSae", "different_text", "find_saes", "require_one_model", "run_of", "settings_for"],
        "_chat_form": ["ChatForm"],
        "_check": ["check_place"],
        "_conversation": ["Answer", "AnswerAsked", "Conversation", "answer_asked"],
        "_foreign_word": ["foreign_sae_text"],
        "_from_stores": ["from_stores"],
        "_kept_run": ["keep_run"],
        "_known_saes": ["KnownSaes", "SteeringConfig"],
        "_latent_words": ["LatentWord", "SteerWord", "steer_words", "watch_words"],
        "_materials": ["Materials"],
        "_parted": ["SaePart", "parted"],
        "_places": ["takes_several_sites"],
        "_report": ["gathered_report", "report_run"],
        "_run": ["run_all"],
        "_saes": ["NamedSae", "open_sae", "open_saes"],
        "_scan_config": ["ScanSettings"],
        "_sessions": ["Arm", "Session", "SessionConfig", "open_session"],
        "_train": ["train_run"],
        "_verify": ["verify_place"],
        "_writer": ["Listener", "PlacedLatent", "TokenValues", "Writer", "Written"],
    },
)
