"""Scores of responses by judges, with honest errors; formats of other tools' evaluations."""
