"""Figures as Vega-Lite specifications (Altair): one source for the report, the web app, notebooks and files."""

from monoseme.reports.figures._figure import FORMATS, Figure
from monoseme.reports.figures._style import DARK, LIGHT, theme
from monoseme.reports.figures.explained import scores_by_decile
from monoseme.reports.figures.heat import Cell, HeatScale, heat_map
from monoseme.reports.figures.intervals import Estimate, interval_dots
from monoseme.reports.figures.latents import density_histogram, l0_distribution
from monoseme.reports.figures.life import dictionary_life
from monoseme.reports.figures.over_time import variation_over_time
from monoseme.reports.figures.quality import fvu_against_l0, metric_bars, model_losses
from monoseme.reports.figures.training import training_curves

__all__ = [
    "DARK",
    "FORMATS",
    "LIGHT",
    "Cell",
    "Estimate",
    "Figure",
    "HeatScale",
    "density_histogram",
    "dictionary_life",
    "fvu_against_l0",
    "heat_map",
    "interval_dots",
    "l0_distribution",
    "metric_bars",
    "model_losses",
    "scores_by_decile",
    "theme",
    "training_curves",
    "variation_over_time",
]
