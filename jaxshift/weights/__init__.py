"""Ways in and out for model weights: safetensors, GGUF and PEFT files."""
