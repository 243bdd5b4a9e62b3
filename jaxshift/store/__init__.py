"""Checkpoints, manifests, metrics and safe paths."""
