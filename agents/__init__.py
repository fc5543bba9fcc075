"""The work: an agent is a function from a batch to its outputs (agents/batch.py)."""
