"""Numbers of bytes as a person reads them."""


def in_words(num_bytes: float) -> str:
    """`num_bytes` with a unit: "0.4 MiB", "16 GiB"."""
    units = (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20))
    unit, size = next((one for one in units if num_bytes >= one[1]), units[-1])
    number = num_bytes / size
    return f"{number:,.0f} {unit}" if number >= 100 else f"{number:.3g} {unit}"
