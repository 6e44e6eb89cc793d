"""From runs to answers with intervals: conditions, verdict, profile, bias and variance."""
