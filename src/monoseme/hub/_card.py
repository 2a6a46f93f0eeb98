"""The model card: README.md of a repository, with everything that a reader needs before using an SAE.

Made from the run: what the SAEs are, what they learned from, what was measured (with intervals, and why a number is missing), how
they are opened, latents with their explanations beside what these are held against, limits, hashes. Nothing is in it that is not
known: a licence that nobody gave is "not stated".
"""

import inspect
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import monoseme
from monoseme.core.display import size_text
from monoseme.hub._card_latents import latents
from monoseme.hub._card_measured import measured
from monoseme.hub._repos import Repo
from monoseme.hub._text import front_matter, shown, table
from monoseme.reports import RunReport
from monoseme.saes import SAES
from monoseme.text import CorpusConfig
from monoseme.text.bundled import is_bundled

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(?:/[A-Za-z0-9][\w.-]*)?")


class CardSae(NamedTuple):
    """One SAE as the card tells of it."""

    name: str
    path: str
    """Its folder in the repository; empty: the repository itself."""
    config: Mapping[str, Any]
    """Of its manifest, as sent."""
    content_hash: str
    n_bytes: int


@dataclass(frozen=True, kw_only=True)
class CardFacts:
    """Everything a card is made of."""

    repo: Repo
    saes: tuple[CardSae, ...]
    report: RunReport | None = None
    """What was measured; None for an SAE of no run."""
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """The run's, as sent."""
    model: str | None = None
    base_model: str | None = None
    """The model's name on the hub; None where it has none."""
    corpus: str | None = None
    dataset: str | None = None
    """The corpus's name on the hub; None where it has none."""
    licence: str | None = None
    revision: str | None = None
    explanations: tuple[str, ...] = ()
    """Labels of those that travel."""
    atlas: Repo | None = None
    format: str | None = None
    """Another tool's, where the SAEs are kept as it keeps them."""
    beside: str | None = None
    """Another tool's format in which they are kept too."""
    figures: tuple[tuple[str, str, str], ...] = ()
    """File, title and caption."""


def card_text(facts: CardFacts) -> str:
    """README.md."""
    parts = [
        _head(facts),
        f"# {shown(facts.repo.name)}",
        _summary(facts),
        _what(facts),
        _trained_on(facts),
        measured(facts.report),
        _figures(facts),
        _use(facts),
        latents(facts.report, facts.explanations),
        _limits(),
        _files(facts),
        _citation(facts),
    ]
    return "\n\n".join(part.strip("\n") for part in parts if part) + "\n"


def hub_name(name: str | None) -> str | None:
    """A model's or dataset's name where it can be one of the hub: no path, nothing on this disk, not what ships with us."""
    is_name = (
        name is not None and _HUB_ID.fullmatch(name) and name != "bundled" and not name.endswith((".jsonl", ".txt", ".json"))
    )
    return name if is_name and name is not None and not Path(name).exists() else None


def elsewhere_flags(model: str | None, corpus: str | None, *, context_len: object = None) -> str:
    """What eval needs besides, with a space before it: a model and a text that others cannot find by these names.

    `context_len`: of the run's text, told with another one where it is not what a text has by itself.
    """
    has_model = model is not None and not model.startswith("./")
    has_text = corpus is not None and (is_bundled(corpus) or hub_name(corpus) is not None)
    is_usual = not isinstance(context_len, int) or context_len == CorpusConfig().context_len
    text = "" if has_text else " --corpus TEXT" + ("" if is_usual else f" --context_len {context_len}")
    return ("" if has_model else " --model FOLDER") + text


def _head(facts: CardFacts) -> str:
    architectures = sorted({_architecture(sae) for sae in facts.saes})
    return front_matter(
        {
            "library_name": facts.format or "monoseme",
            "tags": [
                "sparse-autoencoder",
                "interpretability",
                "monoseme",
                *architectures,
                *([facts.beside] if facts.beside else []),
            ],
            "base_model": facts.base_model,
            "datasets": [facts.dataset] if facts.dataset else None,
            "license": facts.licence,
        }
    )


def _summary(facts: CardFacts) -> str:
    n, of = len(facts.saes), _named(facts.base_model or facts.model, "a model that is not named")
    what = "A sparse autoencoder" if n == 1 else f"{n} sparse autoencoders"
    sites = ", ".join(sorted({_sites(sae) for sae in facts.saes}))
    kept = f", kept as {shown(facts.format)} keeps them" if facts.format else ""
    return (
        f"{what} of the language model {of}, at {shown(sites)}{kept}. Made with "
        f"[monoseme](https://pypi.org/project/monoseme/) {monoseme.__version__}. Licence: {shown(facts.licence or 'not stated')}."
    )


def _what(facts: CardFacts) -> str:
    rows = [
        (
            f"`{sae.name}`",
            shown(_architecture(sae)),
            shown(_sites(sae)),
            f"{sae.config.get('d_in', '?')}",
            f"{sae.config.get('n_latents', 0):,}",
            shown(str(_trained(sae).get("k", "–"))),
        )
        for sae in facts.saes
    ]
    formulas = {_architecture(sae): _formula(_architecture(sae)) for sae in facts.saes}
    lines = [f"- {shown(name)}: <code>{shown(formula, most=600)}</code>" for name, formula in sorted(formulas.items()) if formula]
    units = (
        "Latents are in the unit of the activations: `decode(encode(x))` takes and gives raw activations, "
        "and any scaling of the training is part of the weights."
    )
    scaled = sorted({sae.name for sae in facts.saes if _kind_of_scaling(sae) not in (None, "none")})
    if scaled:
        units += (
            f" Except {', '.join(f'`{name}`' for name in scaled)}, whose inputs are scaled one by one before they are encoded."
        )
    head = ("SAE", "architecture", "site", "D (width)", "F (latents)", "k")
    return "\n\n".join(["## What it is", table(head, rows), "\n".join(lines), units])


def _measured_on(facts: CardFacts) -> str:
    """Of SAEs that were given to their run, which knows no training."""
    text, corpus = _named(facts.dataset or facts.corpus, "not known"), facts.settings.get("corpus", {})
    tokens = [(sae.name, sae.config["tokens_trained"]) for sae in facts.saes if isinstance(sae.config.get("tokens_trained"), int)]
    told = [f"It is measured on {text}; how it was trained is not known here."]
    told += [f"`{name}` says itself that it learned from {n:,} tokens." for name, n in tokens]
    if isinstance(corpus.get("context_len"), int):
        told.append(f"Contexts in which it is measured: {corpus['context_len']:,} tokens at most.")
    return "\n\n".join(["## What it learned from", *told, *_imported(facts)])


def _imported(facts: CardFacts) -> list[str]:
    return [
        f"`{sae.name}` was imported from {shown(str(sae.config['imported'].get('format', 'another tool')))}."
        for sae in facts.saes
        if isinstance(sae.config.get("imported"), dict)
    ]


def _trained_on(facts: CardFacts) -> str:
    if facts.report is not None and facts.report.has_given_saes:
        return _measured_on(facts)
    train, corpus = facts.settings.get("train", {}), facts.settings.get("corpus", {})
    tokens = sorted(
        {int(sae.config["tokens_trained"]) for sae in facts.saes if isinstance(sae.config.get("tokens_trained"), int)}
    )
    rates = sorted(
        {float(row["lr"]) for row in (facts.report.training if facts.report else ()) if isinstance(row.get("lr"), float)}
    )
    rate = train.get("lr")
    told = "the architecture's own" + (f", at most {rates[-1]:.3g}" if rates else "") if rate is None else f"{rate:g}"
    steps = [int(row["step"]) for row in (facts.report.training if facts.report else ()) if isinstance(row.get("step"), int)]
    rows = {
        "text": _named(facts.dataset or facts.corpus, "not known"),
        "tokens": ", ".join(f"{n:,}" for n in tokens),
        "context length (tokens)": f"{corpus['context_len']:,}" if isinstance(corpus.get("context_len"), int) else "",
        "held out of training": f"{corpus['holdout_fraction']:.0%} of the sources" if "holdout_fraction" in corpus else "",
        "batch (tokens)": f"{train['batch_size']:,}" if isinstance(train.get("batch_size"), int) else "",
        "steps": f"{max(steps):,}" if steps else "",
        "learning rate": told if train else "",
        "optimiser": shown(str(train.get("optimiser", ""))),
        "seed": ", ".join(sorted({str(sae.config.get("seed", "?")) for sae in facts.saes})),
    }
    found = table(("", ""), [(key, value) for key, value in rows.items() if value])
    return "\n\n".join(["## What it learned from", found, *_imported(facts)])


def _figures(facts: CardFacts) -> str:
    shown_here = [
        f"**{shown(title)}**. {shown(caption, most=500)}\n\n![{shown(title)}]({file})" for file, title, caption in facts.figures
    ]
    return "\n\n".join(["## Figures", *shown_here]) if shown_here else ""


def _use(facts: CardFacts) -> str:
    repo, at = str(facts.repo), f"@{facts.revision}" if facts.revision else ""
    folder, sae = facts.repo.name, facts.saes[0]
    path = "/".join(part for part in (folder, sae.path) if part)
    revision = f', revision="{facts.revision}"' if facts.revision else ""
    if facts.format:
        lines = [f"monoseme pull {repo}{at} --out {folder}", f"monoseme import {path} --out {folder}-imported"]
        how = f"Open it with {shown(facts.format)}, or take it over:"
        return "\n\n".join(["## How to use it", how, "```sh\n" + "\n".join(lines) + "\n```"])
    context_len = facts.settings.get("corpus", {}).get("context_len")
    atlas = [f"# or with every latent's examples:  monoseme pull {repo}{at} --out {folder} --atlas"] if facts.atlas else []
    lines = [
        "pip install monoseme",
        f"monoseme pull {repo}{at} --out {folder}",
        *atlas,
        f"monoseme show {path}",
        f"monoseme eval {path}{elsewhere_flags(facts.model, facts.corpus, context_len=context_len)}",
    ]
    python = [
        "from monoseme.hub import pull",
        "from monoseme.saes import load_sae",
        "",
        f'pulled = pull("{repo}"{revision}, out="{folder}")',
        f"sae = load_sae(pulled.saes[{sae.name!r}])",
        f"codes = sae.encode(x)          # x: [tokens, {sae.config.get('d_in', 'D')}], activations at {_plain(_sites(sae))}",
        "x_hat = sae.decode(codes)",
    ]
    exact = (
        "`pull` verifies every checksum and prints the id of the revision it took; "
        f"`monoseme pull {repo}@ID` takes exactly that one again."
    )
    return "\n\n".join(
        ["## How to use it", "```sh\n" + "\n".join(lines) + "\n```", "```python\n" + "\n".join(python) + "\n```", exact]
    )


def _limits() -> str:
    lines = [
        "- The numbers hold for text like that it was measured on; on other text it may reconstruct worse.",
        "- It belongs to this model, at these places, in the precision it was trained in; a fine-tuned model is another one.",
        "- An explanation is a guess that predicts some firings. Its score says how many; examples at the top of a list flatter.",
        "- What a latent responds to need not be what the model uses it for: that takes an intervention.",
    ]
    return "\n".join(["## Limits", "", *lines])


def _files(facts: CardFacts) -> str:
    rows = [(f"`{sae.name}`", f"`{sae.path or '.'}`", f"`{sae.content_hash}`", size_text(sae.n_bytes)) for sae in facts.saes]
    kept = (
        "Weights are safetensors; nothing in this repository can run a program. `monoseme.json` lists every file with its "
        "SHA-256, each `manifest.json` those of its folder. The content hash is over the manifest without its `environment` part."
    )
    more = [
        f"The whole atlas (every latent's examples and numbers): the dataset `{facts.atlas}`." if facts.atlas else "",
        f"The same SAEs as {shown(facts.beside)} keeps them: `formats/{facts.beside}/`." if facts.beside else "",
        "Other forms: `monoseme export PATH --format NAME --out OUT` (`monoseme ls sae_formats`).",
    ]
    made = f"Written by monoseme {monoseme.__version__}, Python {sys.version_info.major}.{sys.version_info.minor}."
    found = table(("SAE", "folder", "content hash", "size"), rows)
    return "\n\n".join(["## Files", found, kept, *(line for line in more if line), made])


def _citation(facts: CardFacts) -> str:
    sources = {name: found for name in sorted({_architecture(s) for s in facts.saes}) if (found := _source(name))}
    lines = [f"- {shown(name)}: {shown(found, most=400)}" for name, found in sources.items()]
    entry = (
        f"@misc{{{re.sub(r'[^A-Za-z0-9]', '', facts.repo.name) or 'sae'},\n"
        f"  title = {{{facts.repo.name}: sparse autoencoders}},\n  author = {{{facts.repo.owner}}},\n"
        f"  howpublished = {{{facts.repo}}},\n  note = {{made with monoseme {monoseme.__version__}}}\n}}"
    )
    return "\n\n".join(["## Citation", f"```bibtex\n{entry}\n```", *(["Architectures:", "\n".join(lines)] if lines else [])])


def _trained(sae: CardSae) -> Mapping[str, Any]:
    """What it learned as: an architecture whose codes are fixed after training may be used as a simpler one."""
    said = sae.config.get("trained_as")
    return said if isinstance(said, dict) else sae.config


def _architecture(sae: CardSae) -> str:
    return str(_trained(sae).get("architecture", "unknown"))


def _sites(sae: CardSae) -> str:
    said: Sequence[str] = sae.config.get("sites") or [str(sae.config.get("site", "not known"))]
    return ", ".join(map(str, said))


def _plain(text: str) -> str:
    """For a block of code, whose end nothing in it may be."""
    return re.sub(r"[^\w., :@+*-]", "?", text)


def _named(name: str | None, unknown: str) -> str:
    """A model or a text by its name; what ships with the library has none."""
    return "that ships with monoseme" if name == "bundled" else shown((name or unknown).removeprefix("./"))


def _kind_of_scaling(sae: CardSae) -> str | None:
    said = sae.config.get("normalise")
    return str(said.get("kind")) if isinstance(said, dict) else None


def _formula(architecture: str) -> str | None:
    """The first line of its class; None for an architecture that is not installed here."""
    if architecture not in SAES.names():
        return None
    return (inspect.getdoc(SAES.get(architecture)) or "").splitlines()[0]


def _source(architecture: str) -> str | None:
    """Where it is from, as its file says."""
    if architecture not in SAES.names():
        return None
    said = inspect.getdoc(sys.modules[SAES.get(architecture).__module__]) or ""
    found = re.search(r"^Source: (.+?)[.,;]?$", said, re.MULTILINE)
    return found[1] if found else None
