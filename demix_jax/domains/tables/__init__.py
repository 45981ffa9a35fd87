"""Diagnosis of tables, in memory or larger than memory."""
