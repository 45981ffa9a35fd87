"""Encoders of one column each: features for task models, discrete codes, and how extreme each value is."""
