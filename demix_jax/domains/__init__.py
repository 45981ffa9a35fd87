"""Kinds of data, one folder each; none imports another."""
