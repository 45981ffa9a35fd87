"""One diagnosis for every kind of data."""
