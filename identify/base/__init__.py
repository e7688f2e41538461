"""The ground of the package: options, limits, interrupts, files, optional packages, errors."""
