"""Contracts: events, topics, tables, metrics and errors. Imports nothing of ours."""
