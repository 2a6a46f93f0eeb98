"""The themes' colours: told apart by readers who see no red or no green, and ink that shows on every shade of a heat map.

Simulation: Machado, Oliveira and Fernandes 2009, table 1 (severity 1.0), in linear sRGB. Distances: CIE 1976, where 2.3 is the
least difference that one sees.
"""

import itertools

import numpy as np
import pytest

from monoseme.reports.figures import DARK, LIGHT, theme
from monoseme.reports.figures._style import Ink
from monoseme.reports.figures.heat import _STRONG  # pyright: ignore[reportPrivateUsage]

_VISION = {
    "full": np.eye(3),
    "no green": np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]),
    "no red": np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]),
}
_XYZ = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]])
_WHITE = np.array([0.95047, 1.0, 1.08883])


def _linear(colour: str) -> np.ndarray:
    values = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def _lab(rgb: np.ndarray) -> np.ndarray:
    scaled = _XYZ @ rgb / _WHITE
    f = np.where(scaled > 216 / 24389, np.cbrt(scaled), (24389 / 27 * scaled + 16) / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def _closest(colours: tuple[str, ...], vision: str) -> float:
    seen = [_lab(np.clip(_VISION[vision] @ _linear(colour), 0, 1)) for colour in colours]
    return min(float(np.linalg.norm(a - b)) for a, b in itertools.combinations(seen, 2))


def _contrast(a: np.ndarray, b: np.ndarray) -> float:
    """WCAG 2 contrast of two linear colours."""
    low, high = sorted((float(_XYZ[1] @ a), float(_XYZ[1] @ b)))
    return (high + 0.05) / (low + 0.05)


def _shade(stops: tuple[str, ...], at: float) -> np.ndarray:
    place = at * (len(stops) - 1)
    first = min(int(place), len(stops) - 2)
    a, b = _linear(stops[first]) ** (1 / 2.4), _linear(stops[first + 1]) ** (1 / 2.4)
    return (a + (place - first) * (b - a)) ** 2.4


@pytest.mark.parametrize("ink", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("vision", _VISION)
def test_categories_differ_for_every_reader(ink: Ink, vision: str) -> None:
    """Measured: light 31.4 and 19.4, dark 30.1 and 18.1 at worst."""
    assert _closest(ink.categories[:5], vision) >= 30
    assert _closest(ink.categories, vision) >= 18


@pytest.mark.parametrize("ink", [LIGHT, DARK], ids=["light", "dark"])
def test_categories_stand_out_from_the_page(ink: Ink) -> None:
    page = _linear(ink.background)
    assert min(_contrast(_linear(colour), page) for colour in ink.categories) >= 3.0


@pytest.mark.parametrize("ink", [LIGHT, DARK], ids=["light", "dark"])
def test_numbers_can_be_read_on_every_shade_of_a_heat_map(ink: Ink) -> None:
    text, page = _linear(ink.text), _linear(ink.background)
    for at in np.linspace(0, 1, 101):
        worst = _contrast(_shade(ink.weak_to_strong, float(at)), page if at > _STRONG else text)
        assert worst >= 3.3, (at, worst)
        strong = abs(2 * at - 1) > _STRONG
        worst = _contrast(_shade(ink.two_sided, float(at)), page if strong else text)
        assert worst >= 3.2, (at, worst)


@pytest.mark.parametrize("ink", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("vision", _VISION)
def test_shades_of_a_heat_map_go_one_way_in_lightness(ink: Ink, vision: str) -> None:
    lightness = [_lab(np.clip(_VISION[vision] @ _linear(stop), 0, 1))[0] for stop in ink.weak_to_strong]
    steps = np.diff(lightness)
    assert (np.sign(steps) == np.sign(steps[0])).all()
    assert np.abs(steps).min() > 10


def test_the_theme_gives_each_scale_its_colours() -> None:
    config = theme(DARK, background=False)
    assert config["range"]["heatmap"] == list(DARK.weak_to_strong)
    assert config["range"]["diverging"] == list(DARK.two_sided)
    assert config["style"]["on-strong"]["color"] == DARK.background
