"""Speed against peers, as ratios of alternating runs."""
