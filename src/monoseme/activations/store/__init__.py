"""Activations on disk: an artifact that is captured once and read many times, shuffled, by any number of SAEs."""
