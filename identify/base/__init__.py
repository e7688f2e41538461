"""What everything rests on: options, limits, interrupts, files, optional packages, errors."""
