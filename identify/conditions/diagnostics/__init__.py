"""Diagnostics: structure, stationarity, conditioning. They explain a report and never decide a verdict."""
