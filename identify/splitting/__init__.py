"""Sample splitting: minimise any smooth objective on weighted candidates, growing where a stationary point is a strict saddle."""
