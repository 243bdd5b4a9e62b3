"""Why the distribution shifted."""
