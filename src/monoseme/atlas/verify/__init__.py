"""Verifies an atlas: files against checksums, inputs against hashes, and a sample of it against what is computed again."""

from monoseme.atlas.verify.checks import Check, Verification
from monoseme.atlas.verify.verifying import VerifyConfig, verify_atlas

__all__ = ["Check", "Verification", "VerifyConfig", "verify_atlas"]
