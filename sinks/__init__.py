"""The exits."""
