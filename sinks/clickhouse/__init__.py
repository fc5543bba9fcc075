"""Rows to ClickHouse, safe to repeat."""
