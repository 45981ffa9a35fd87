"""Code that the whole package shares: checks, files, progress and wording."""
