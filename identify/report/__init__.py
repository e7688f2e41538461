"""Verdicts and the reports that carry them: as values, as text, as JSON, as a page, with pictures."""
