"""What a run would need, found by compiling its steps from shapes: no weights, no data, no accelerator."""
