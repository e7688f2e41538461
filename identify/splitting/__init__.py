"""Sample splitting: minimise any smooth objective on weighted candidates, and split one if a stationary point is a strict saddle."""
