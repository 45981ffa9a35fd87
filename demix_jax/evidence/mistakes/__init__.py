"""Known mistakes in cells: what each looks like, and how probable it is in a row."""
