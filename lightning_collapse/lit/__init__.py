"""The loop under Lightning: one `fit`, one epoch = one round."""
