"""The embedded stack: broker, inference server and analytics on one machine, no Docker."""
