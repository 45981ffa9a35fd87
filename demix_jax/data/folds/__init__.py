"""Cross-fitting folds, and the rows that belong together in one: copies, groups and blocks in time."""
