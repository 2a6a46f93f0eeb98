"""A choice of kernels is kept and follows the weights; what cannot run says what it lacks; importing stays light."""

import subprocess
import sys

import pytest

from monoseme.core.errors import ConfigError
from monoseme.kernels import choose_kernels, dispatch, kernels_named, resolve, why_not
from monoseme.saes.batchtopk import BatchTopK
from monoseme.saes.topk import TopK


def _topk(**settings: object) -> TopK:
    return TopK(TopK.Config(d_in=7, n_latents=11, k=3, **settings))


def test_an_unknown_name_is_refused_with_the_ones_there_are() -> None:
    with pytest.raises(ConfigError, match='Did you mean "torch"'):
        resolve("troch")
    with pytest.raises(ConfigError, match="auto, reference, torch, numba, triton"), choose_kernels("fast"):
        pass


_WITHOUT = """
import sys
sys.modules["{package}"] = None  # as if it were not installed
from monoseme.core.errors import ConfigError
from monoseme.kernels import kernels_named, resolve
assert resolve("auto", "{device}") == "torch"
for ask in (lambda: resolve("{package}", "{device}"), lambda: kernels_named("{package}")):
    try:
        ask()
    except ConfigError as error:
        sys.stdout.write(f"{{error}}\\n")
"""


@pytest.mark.parametrize(("package", "device"), [("numba", "cpu"), ("triton", "cuda")])
def test_a_set_whose_package_is_missing_is_passed_over_and_by_name_says_what_to_install(package: str, device: str) -> None:
    code = _WITHOUT.format(package=package, device=device)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.count(f"the {package} kernels cannot run here") == 2
    assert done.stdout.count(f"pip install {package}") == 2


def test_auto_means_what_has_loops_for_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = kernels_named("torch")
    monkeypatch.setattr(dispatch, "_loaded", lambda name: plain)
    assert [resolve("auto", device) for device in ("cpu", "cuda", "meta")] == ["numba", "triton", "torch"]
    assert resolve("reference", "cuda") == "reference"


def test_a_set_for_another_device_says_what_to_take(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    assert "the weights are on cuda" in (why_not("numba", "cuda") or "")
    with pytest.raises(ConfigError, match="Take auto"):
        resolve("triton", "cpu")


def test_an_sae_that_chose_auto_follows_its_weights_and_a_name_stays() -> None:
    sae = _topk()
    assert sae.kernel_name == resolve("auto", "cpu")
    assert sae.to("meta").kernel_name == resolve("auto", "meta") == "torch"
    named = _topk()
    named.use_kernels("reference")
    assert named.to("meta").kernel_name == "reference"


def test_saes_made_under_a_choice_have_it_and_others_do_not() -> None:
    with choose_kernels("reference"):
        assert _topk().kernel_name == "reference"
    assert _topk().kernel_choice == "auto"


def test_an_export_has_the_choice_of_what_it_came_from() -> None:
    sae = BatchTopK(BatchTopK.Config(d_in=7, n_latents=11, k=3))
    sae.use_kernels("reference")
    assert sae.export().kernel_choice == "reference"


def test_importing_and_making_an_sae_loads_neither_numba_nor_triton() -> None:
    code = (
        "import sys, monoseme.kernels, monoseme.training.loop; from monoseme.saes.topk import TopK\n"
        "TopK(TopK.Config(d_in=7, n_latents=11, k=3))\n"
        "sys.stdout.write(' '.join(m for m in ('numba', 'llvmlite', 'triton') if m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == ""


def test_importing_the_kernels_loads_few_modules_beside_torch() -> None:
    code = (
        "import sys, torch; import torch.nn.functional; before = set(sys.modules); import monoseme.kernels\n"
        "new = [m for m in sys.modules if m not in before]\n"
        "sys.stdout.write(str(sum(not m.startswith('monoseme') for m in new)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 120  # jaxtyping and the standard library's parts; numba alone would be 700
