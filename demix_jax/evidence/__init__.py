"""Evidence about each row that does not need influence: out-of-fold predictions, cells, shortcuts."""
