"""Tasks of lm-evaluation-harness, and what tuning made a model forget of them."""
