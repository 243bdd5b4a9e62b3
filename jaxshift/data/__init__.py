"""Instruction data: formats, templates, the TFDS builder, batches, and the controlled world."""
