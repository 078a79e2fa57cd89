"""Published data sets: what they consist of, and how they arrive."""
