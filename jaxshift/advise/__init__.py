"""Before tuning: does the base know what the data are about, and which method follows from that."""
