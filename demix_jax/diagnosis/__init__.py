"""Diagnosis of any kind of data."""
