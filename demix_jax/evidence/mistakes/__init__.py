"""Known mistakes of people who enter records: what each looks like, and its probability in each row."""
