"""Tuning: LoRA as a transform of parameters, losses, optimizers, and one train loop."""
