"""One folder per kind of data; no folder imports another."""
