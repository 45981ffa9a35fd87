"""Tables as they are written: read from files or memory, and edited without touching what did not change."""
