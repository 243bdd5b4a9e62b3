"""Files for other tools: the PEFT adapter, the folded model, a card beside each, and how far they are from the run."""
