"""The frozen language model that reads preference pairs."""
