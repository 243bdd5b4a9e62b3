"""The comparison of base and tuned next-token distributions."""
