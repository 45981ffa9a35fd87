"""Frozen language model of the Llama architecture that reads preference pairs."""
