"""Evidence about each row that needs no influence: out-of-fold predictions, cells, rules and known mistakes."""
