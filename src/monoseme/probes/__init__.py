"""Linear and sparse probes: trained on streamed activations, measured on what they have not seen, kept with their split."""

from monoseme.probes.linear import LinearProbe, SavedProbe, load_probe, probe_bytes, save_probe
from monoseme.probes.scores import ProbeScores, ReliabilityBin, held_out, reliability, scores_of
from monoseme.probes.settings import BINARY, SPARSE, ProbeTraining
from monoseme.probes.sparse import Selection, SparseProbe, cosines, fit_sparse, l1_weights, mean_differences, top_latents
from monoseme.probes.split import Split, one_hot, stratified_split
from monoseme.probes.splitting import FeatureSplit, main_latents
from monoseme.probes.training import train_binary_probe, train_multi_probe, train_streamed

__all__ = [
    "BINARY",
    "SPARSE",
    "FeatureSplit",
    "LinearProbe",
    "ProbeScores",
    "ProbeTraining",
    "ReliabilityBin",
    "SavedProbe",
    "Selection",
    "SparseProbe",
    "Split",
    "cosines",
    "fit_sparse",
    "held_out",
    "l1_weights",
    "load_probe",
    "main_latents",
    "mean_differences",
    "one_hot",
    "probe_bytes",
    "reliability",
    "save_probe",
    "scores_of",
    "stratified_split",
    "top_latents",
    "train_binary_probe",
    "train_multi_probe",
    "train_streamed",
]
