"""Toys: recursive training where theory knows the answer. Regimes are those of the image route."""
