"""``python -m identify.cli``."""

from identify.cli import main

main()
