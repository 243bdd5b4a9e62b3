"""A grid summed up: results of its cells, means over seeds, findings, and the published numbers beside them."""
