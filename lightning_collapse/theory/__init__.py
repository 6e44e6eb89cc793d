"""Closed forms for the toys: what theory predicts, each in the setting in which it holds.

Time is t = 1, 2, …, the number of fits: t = 1 is the fit on real data, that is, round 0.
"""
