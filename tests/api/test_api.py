"""The interface in Python: every verb has its function, imports are light, results show themselves and escape what they show."""

import inspect
import re
import shutil
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import monoseme as ms
from monoseme import api
from monoseme.api._html import shaded, table
from monoseme.api._pictures import packed
from monoseme.api._sae import _unusual  # pyright: ignore[reportPrivateUsage]
from monoseme.api._settings import changed, nested
from monoseme.api._writing import _by, _steered  # pyright: ignore[reportPrivateUsage]
from monoseme.cli._verbs import names
from monoseme.core.errors import ArtifactMissingError, ConfigError, ModelNotFoundError, ResumeError, UnknownPluginError
from monoseme.core.files import read_json, write_json
from monoseme.evaluation import Metric
from monoseme.pipeline import RunConfig, RunFolder, RunSettings, SteeringConfig
from monoseme.plugin_kinds import KINDS
from monoseme.saes import SAES, config_from_dict
from monoseme.saes.topk import TopK

PAGE = Path(__file__).resolve().parents[2] / "docs" / "python.md"
_ROW = re.compile(r"^\| `monoseme ([a-z]+)` \| (.+?) \|", re.MULTILINE)
_OF_SHELLS = {"completion"}
"""Verbs that mean nothing in Python."""
_CALL = re.compile(r"`ms\.([a-z_]+)\(")


def _rows() -> dict[str, list[str]]:
    return {verb: _CALL.findall(calls) for verb, calls in _ROW.findall(PAGE.read_text(encoding="utf-8"))}


def test_every_verb_has_a_call_in_the_table_of_the_docs() -> None:
    rows = _rows()
    assert [verb for verb in names() if not rows.get(verb) and verb not in _OF_SHELLS] == []


def test_the_table_names_no_verb_and_no_call_that_is_not_there() -> None:
    rows = _rows()
    assert set(rows) <= set(names())
    assert [call for calls in rows.values() for call in calls if not callable(getattr(ms, call, None))] == []


def test_importing_the_package_imports_neither_torch_nor_anything_slow() -> None:
    code = (
        "import sys, monoseme as ms; dir(ms); ms.__all__; "
        "print([m for m in ('torch', 'transformers', 'pyarrow', 'pydantic', 'altair', 'numpy') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_the_package_offers_what_its_interface_does() -> None:
    assert set(ms.__all__) == {*api.__all__, "__version__"}


@pytest.mark.parametrize("name", [name for name in ms.__all__ if name[0].islower()])
def test_a_function_takes_at_most_seven_arguments_and_says_what_it_does(name: str) -> None:
    function = getattr(ms, name)
    assert inspect.getdoc(function)
    parameters = inspect.signature(function).parameters.values()
    assert len(parameters) <= 7
    assert [p.name for p in parameters if p.kind in (p.VAR_KEYWORD, p.VAR_POSITIONAL)] == []


def test_kinds_of_plug_ins_are_listed_and_a_wrong_one_is_said() -> None:
    assert ms.ls() == {kind: len(registry.names()) for kind, registry in KINDS.items()}
    assert ms.ls()["saes"] == len(SAES.names())
    assert "topk" in ms.ls("saes")
    with pytest.raises(ConfigError, match='Did you mean "saes"'):
        ms.ls("sae")


def test_settings_have_the_names_of_flags() -> None:
    assert nested({"a.b": 1, "a": {"c.d": 2}}) == {"a": {"b": 1, "c": {"d": 2}}}
    assert changed(RunSettings(), {"train.n_tokens": 5}).train.n_tokens == 5
    with pytest.raises(ConfigError, match="n_token"):
        changed(RunSettings(), {"train.n_token": 5})


def test_a_recipe_is_the_config_that_the_command_line_makes() -> None:
    from monoseme.cli._run_options import parse_run

    flags = [
        "--sae",
        "topk,relu",
        "--sae.n_latents",
        "64",
        "--model",
        "bundled",
        "--site",
        "resid_post.2",
        "--train.n_tokens",
        "9",
    ]
    typed = parse_run(flags, verb="train", summary="", default=RunConfig(), out=Path("runs/x")).config
    settings = {"sae.n_latents": 64, "train.n_tokens": 9}
    assert ms.recipe(["topk", "relu"], model="bundled", site="resid_post.2", settings=settings) == typed


def test_a_recipe_begins_with_a_preset_and_takes_configs() -> None:
    made = ms.recipe(TopK.Config(k=7), config="demo", settings={"train.n_tokens": 70})
    assert (made.saes, made.train.n_tokens, made.sites) == ((TopK.Config(k=7),), 70, ("resid_post.3",))
    assert [sae.plugin_name for sae in ms.recipe(config="demo").saes] == ["topk", "matryoshka", "tsae"]
    learned_on = ms.recipe(config="demo", settings={"start_from": ("runs/theirs/saes/a",)})
    assert learned_on.saes == (), "what one learns on from takes the place of the preset's own"
    with pytest.raises(ConfigError, match="by name"):
        ms.recipe(TopK.Config(k=7), settings={"sae.k": 5})


def test_a_run_opens_as_typed_values(run: RunFolder) -> None:
    opened = ms.open(run.path)
    assert isinstance(opened, ms.Run)
    assert opened.names == run.sae_names()
    assert list(opened.saes) == opened.names
    name = opened.names[0]
    table = opened.metrics()
    assert table.subjects == tuple(opened.names)
    assert table.value(name, "fvu") == opened.evaluation(name)["fvu"].value
    low, high = table.interval(name, "fvu") or (0, 0)
    assert low < (table.value(name, "fvu") or 0) < high
    assert opened.figures
    assert opened.figure("density").png.startswith(b"\x89PNG")
    assert opened.figure("density").title == "How often latents fire"
    with pytest.raises(ConfigError, match="name one"):
        opened.sae()
    with pytest.raises(ConfigError, match="no figure"):
        opened.figure("densities")


def test_an_sae_reads_a_text_as_its_module_does(run: RunFolder) -> None:
    sae = ms.open(run.sae("topk"))
    assert isinstance(sae, ms.Sae)
    reading = sae.encode("The cat saw the dog.")
    model, site = sae.model, sae.named.site
    import torch

    ids = model.encode("The cat saw the dog.")
    tokens = torch.tensor([ids if len(ids) == len(reading.tokens) else [model.bos_id, *ids]])
    x = model.capture(tokens, [site])[site][0][torch.tensor(reading.reads)]
    assert torch.equal(reading.dense(), sae.module.encode(x).dense())
    top = reading.top_latents(3)
    strip = reading.strip(top.latents[0])
    assert max(value or 0 for value in strip.values) == pytest.approx(top.rows[0]["max"])
    assert sum(value or 0 for value in strip.values) == pytest.approx(top.rows[0]["sum"])
    assert [value is None for value in strip.values] == [not reads for reads in reading.reads]
    with pytest.raises(ConfigError, match="latents 0 to 36"):
        reading.strip(37)


def test_what_was_opened_with_a_model_takes_it_where_the_run_names_one_that_is_elsewhere(
    run: RunFolder, model_folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(run.path, tmp_path / "pulled", ignore=shutil.ignore_patterns("atlas", "report"))
    pulled = tmp_path / "pulled"
    record = read_json(pulled / "run.json")
    record["config"]["model"]["model"] = "./its-model"
    write_json(pulled / "run.json", record)
    wanted = ms.Run(run.path).sae("topk").top_latents("The cat saw").rows
    nameless = ms.open(pulled)
    assert isinstance(nameless, ms.Run)
    with pytest.raises(ModelNotFoundError, match=r'in Python: model="FOLDER"'):
        nameless.sae("topk").top_latents("The cat saw")
    opened = ms.open(pulled, model=model_folder)
    assert isinstance(opened, ms.Run)
    sae = opened.sae("topk")
    assert sae.top_latents("The cat saw").rows == wanted
    assert [again.in_model for again in (sae.run, ms.open(sae)) if again is not None] == [str(model_folder)] * 2  # pyright: ignore[reportAttributeAccessIssue]
    assert len(ms.generate("The cat", sae=opened, max_tokens=2).default) == 1
    with pytest.raises(ConfigError, match="nothing is written"):
        ms.evaluate(opened, overwrite=True)
    with pytest.raises(ConfigError, match="another model goes into an atlas of its own"):
        ms.scan(opened)


def test_an_sae_of_no_run_that_was_opened_with_a_model_reads_texts(run: RunFolder, model_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(run.sae("topk"), tmp_path / "alone")
    alone, of_run = ms.open(tmp_path / "alone", model=model_folder), ms.open(run.sae("topk"))
    assert isinstance(alone, ms.Sae)
    assert isinstance(of_run, ms.Sae)
    assert alone.top_latents("The cat saw").rows[0]["max"] == of_run.top_latents("The cat saw").rows[0]["max"]
    with pytest.raises(ConfigError, match=r"the text from\.\n  Give --corpus\. In Python:  corpus="):
        alone.evaluate()


def test_what_is_searched_is_what_the_atlas_has(run: RunFolder) -> None:
    sae = ms.open(run.sae("topk"))
    assert isinstance(sae, ms.Sae)
    found = ms.search(run.path, where="density > 0", sae=sae.key, n=5)
    assert found.latents == sae.latents("density > 0", n=5).latents
    page = sae.latent(found.latents[0])
    assert page.found == sae.atlas.latent(sae.key, found.latents[0])  # pyright: ignore[reportOptionalMemberAccess]
    assert ms.search(sae, text="cat").rows
    with pytest.raises(ConfigError, match="needs words"):
        ms.search(run.path)


def test_a_method_is_named_as_on_the_command_line_and_its_settings_stand_below_it() -> None:
    said = _steered("17=2max", _by("clamp", {"method.error_term": False, "only": "generated"}))
    assert said.latents == ("17=2max",)
    assert said.config == SteeringConfig(method="clamp", method_config={"error_term": False}, only="generated")
    assert _steered((), {"method": "clamp"}).config == SteeringConfig(method="clamp")
    assert _steered((), None).config == SteeringConfig()
    with pytest.raises(ConfigError, match="said twice: clamp, and additive"):
        ms.steer("The cat", "17=2max", sae="runs/none", method="clamp", settings={"method": "additive"})
    with pytest.raises(UnknownPluginError, match='Did you mean "clamp"'):
        ms.steer("The cat", "17=2max", sae="runs/none", method="clmp")


@pytest.mark.parametrize("call", [ms.train, ms.run, ms.demo, ms.resume, ms.capture])
def test_what_is_no_place_to_make_something_in_is_refused_with_what_is(call: Callable[[Any], object]) -> None:
    with pytest.raises(ConfigError, match=r"out is 3\.\n  Give a folder"):
        call(3)


def test_what_is_no_name_and_no_place_is_refused_with_what_is() -> None:
    with pytest.raises(ConfigError, match=r'no benchmark "None"\.\n  Allowed: train, capture'):
        ms.bench(None)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ConfigError, match=r"3 is no place\.\n  Give a path"):
        ms.explain(3)


@pytest.mark.slow
def test_texts_before_and_after_are_written_with_the_same_seed(run: RunFolder) -> None:
    sae = run.sae("topk")
    latent = ms.search(run.path, where="max > 0", sae="topk", n=1).latents[0]
    written = ms.steer(["The cat", "A dog"], f"{latent}=3raw", sae=sae, watch=str(latent), max_tokens=5, settings={"seed": 3})
    again = ms.generate(["The cat", "A dog"], sae=sae, max_tokens=5, settings={"seed": 3})
    assert written.default == again.default
    assert len(written.steered) == 2
    assert written.strip(f"topk:{latent}", arm="steered").tokens
    assert {"default", "steered"} <= set(re.findall(r"[a-z]+", written._repr_html_()))
    with pytest.raises(ConfigError, match="no setting sed"):
        ms.generate("The cat", sae=sae, settings={"sed": 3})
    with pytest.raises(ConfigError, match="nothing was written"):
        _ = again.steered


@pytest.mark.slow
def test_a_conversation_is_held(run: RunFolder) -> None:
    answers = ms.chat(sae=run.sae("topk"), max_tokens=4).say("The cat?")
    assert list(answers) == ["default"]


@pytest.mark.parametrize("kind", ["Run", "Sae", "Reading", "LatentPage", "TokenStrip", "MetricTable", "LatentTable", "Picture"])
def test_what_a_result_shows_is_escaped_and_asks_for_nothing(kind: str, run: RunFolder) -> None:
    opened = ms.Run(run.path)
    sae = opened.sae("topk")
    reading = sae.encode("The cat saw. <script>alert('cat')</script>")
    shown: dict[str, Any] = {
        "Run": opened,
        "Sae": sae,
        "Reading": reading,
        "LatentPage": sae.latent(ms.search(opened, where="max > 0", sae=sae.key, n=1).latents[0]),
        "TokenStrip": reading.n_active(),
        "MetricTable": opened.metrics(),
        "LatentTable": ms.search(opened, "cat"),
        "Picture": opened.figure("density"),
    }
    html = shown[kind]._repr_html_()
    assert "<script" not in html
    assert re.findall(r"(?:src|href)=\"(?!data:image/png;base64,)", html) == []
    assert "url(" not in html
    assert "http" not in html
    assert repr(shown[kind])
    assert str(run.path) not in html


def test_tokens_and_cells_are_escaped() -> None:
    bad = "<img src=x onerror=alert(1)>"
    for html in (shaded([bad], [1.0], top=1.0), shaded([bad], [None], top=1.0), table([{bad: bad}])):
        assert "<img" not in html
        assert "&lt;img" in html
    shown = ms.LatentTable(rows=[{"latent": 1, "text": "a\x1b[31mb" + bad}])
    assert "\x1b" not in shown._repr_html_()
    assert "\x1b" not in repr(shown)


def test_a_strip_shades_by_size_and_tells_apart_what_is_below_zero() -> None:
    strip = ms.TokenStrip(tokens=("a", "b", "c", "d"), values=(None, 1.0, -2.0, 0.0))
    colours = re.findall(r"rgba\((\d+),\d+,\d+,([\d.]+)\)", strip.body())
    assert len(colours) == 2
    assert colours[0][0] != colours[1][0]
    assert float(colours[0][1]) == pytest.approx(float(colours[1][1]) / 2, abs=0.01)
    with pytest.raises(ConfigError, match="pair"):
        ms.TokenStrip(tokens=("a",), values=())
    assert "data-embedded" in strip.interactive().html


def test_metrics_are_shown_with_half_of_their_interval() -> None:
    shared = {"unit": "fraction", "better": "lower", "n": 5, "n_documents": 3, "definition": "d"}
    metrics = {
        "a": [Metric(name="fvu", value=0.5, standard_error=0.1, **shared)],
        "b": [Metric(name="fvu", value=None, why_missing="no rows", **shared), Metric(name="l0", value=2.0, **shared)],
    }
    table = ms.MetricTable(metrics=metrics)
    assert table.rows()[0] == {"metric": "fvu", "a": "0.5 ± 0.2", "b": "missing", "unit": "fraction", "better": "lower"}
    assert table.interval("a", "fvu") == pytest.approx((0.5 - 0.196, 0.5 + 0.196))
    assert table.interval("b", "fvu") is None
    assert table.only("l0").names == ("l0",)
    for wrong in (lambda: table.metric("c", "fvu"), lambda: table.metric("a", "l0"), lambda: table.only("l1")):
        with pytest.raises(ConfigError):
            wrong()


def test_a_packed_picture_has_the_same_pixels() -> None:
    import vl_convert

    png = vl_convert.svg_to_png(
        '<svg xmlns="http://www.w3.org/2000/svg" width="90" height="70"><circle r="40" fill="red"/></svg>'
    )
    small = packed(png)
    assert len(small) < len(png)
    assert _pixels(small) == _pixels(png)
    assert small[:33] == png[:33]  # the signature and the sizes


def _pixels(png: bytes) -> bytes:
    place, found = 8, b""
    while place < len(png):
        length = int.from_bytes(png[place : place + 4], "big")
        kind, data = png[place + 4 : place + 8], png[place + 8 : place + 8 + length]
        assert zlib.crc32(kind + data) == int.from_bytes(png[place + 8 + length : place + 12 + length], "big")
        found += data if kind == b"IDAT" else b""
        place += 12 + length
    return zlib.decompress(found)


def test_rows_of_a_table_are_chosen_by_column_and_value() -> None:
    rows = ms.Table(rows=[{"a": 1, "b": "x"}, {"a": 2, "b": "y"}], title="t")
    assert list(rows.where("b", "y").only("a")) == [{"a": 2}]
    assert len(ms.Table(rows=[]).where("b", "y")) == 0
    with pytest.raises(ConfigError, match="no column"):
        rows.only("c")


@pytest.mark.slow
def test_a_plan_shows_what_is_needed(run: RunFolder) -> None:
    plan = ms.plan(ms.Run(run.path).config, run.path.parent / "planned", settings={"probe": False})
    assert plan.fits
    assert "disk" in repr(plan)
    assert "disk" in plan._repr_html_()


def test_checksums_are_verified_and_a_missing_place_is_said(run: RunFolder, tmp_path: Path) -> None:
    assert {problem for problems in ms.check(run.sae("topk")).values() for problem in problems} == set()
    with pytest.raises(ArtifactMissingError):
        ms.check(tmp_path / "nothing")
    with pytest.raises(ArtifactMissingError):
        ms.open(tmp_path / "nothing")
    with pytest.raises(ResumeError, match="nothing was begun"):
        ms.resume(tmp_path / "nothing")


@pytest.mark.parametrize("name", SAES.names())
def test_the_card_of_every_architecture_can_tell_its_settings(name: str) -> None:
    class Fake:
        config = config_from_dict({"architecture": name, "d_in": 64, "n_latents": 4096})
        provenance: dict[str, Any] = {}  # noqa: RUF012

    assert _unusual(Fake()) == {}  # pyright: ignore[reportArgumentType]


def test_the_card_tells_unusual_settings_by_their_flags() -> None:
    class Fake:
        config = config_from_dict({"architecture": "topk", "d_in": 64, "n_latents": 4096, "k": 7, "normalise": {"kind": "none"}})
        provenance: dict[str, Any] = {}  # noqa: RUF012

    settings = _unusual(Fake())  # pyright: ignore[reportArgumentType]
    assert settings == {"k": 7, "normalise.kind": "none"}
    assert repr(ms.SaeCard(name="mine", facts={"site": "resid_post.0"}, settings=settings, metrics=None)).splitlines() == [
        "mine",
        "  site: resid_post.0",
        "  normalise.kind = none",
        "  k = 7",
    ]


@pytest.mark.slow
def test_an_sae_goes_out_and_comes_in(run: RunFolder, tmp_path: Path) -> None:
    sae = ms.open(run.sae("topk"))
    gone = ms.export_sae(sae, tmp_path / "out", format="plain")
    assert gone.n_files
    came = ms.import_sae(gone.out, tmp_path / "in")
    opened = ms.open(came.paths[0])
    assert isinstance(opened, ms.Sae)
    assert opened.run is None
    with pytest.raises(ConfigError, match="of no run"):
        opened.encode("a")
    assert "resid_post.0" in repr(opened.card)
