"""The built-in page, http://127.0.0.1:8088: what is running, how fast, and a wall of the last photos.

A browser asks for one panel after the other (page.js), the server answers with what a file of ops/dashboards asks of
ClickHouse (server.py, panels.py), and with photos made small (photos.py). `python -m ops.page --port 8088` runs it.
"""
