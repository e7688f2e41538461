"""The truth about small instances: all data sets with the same target, counted exactly or enclosed. Slow, complete, without theorems."""
