"""Tables in, arrays out: the only part of the package that knows pandas."""
