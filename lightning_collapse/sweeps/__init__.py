"""Studies: many runs of one question, and what starts them on one machine."""
