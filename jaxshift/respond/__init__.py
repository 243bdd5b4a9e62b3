"""Batched decoding of responses."""
