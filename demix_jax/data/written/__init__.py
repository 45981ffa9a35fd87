"""What written texts mean: numbers, dates, missing markers; and values written in the form of their column."""
