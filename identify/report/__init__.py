"""Renderers only: reports and other values as text, pages and pictures."""
