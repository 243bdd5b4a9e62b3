"""The Llama model in Flax Linen, as a pure function of its parameters."""
