"""monoseme: train, measure, explain and steer with sparse autoencoders on language models."""

__version__ = "0.1.0"
