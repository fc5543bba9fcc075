"""Running it: the commands, the embedded stack, the page, dashboards, models."""
