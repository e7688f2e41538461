"""The theorems that verdicts rest on, with hypotheses, scope and reference, and trials that test them on random instances."""
