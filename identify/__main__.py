"""``python -m identify``."""

from identify.cli import main

main()
