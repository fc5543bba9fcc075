"""ClickHouse's HTTP interface over the embedded engine (chDB), so that any ClickHouse client can talk to it.

A request takes this road, one module a step:

    guard.py        who may ask: this machine's programs, and no web page of another origin
    request.py      what is asked: the SQL, its parameters, settings and database
    statement.py    the SQL taken apart: where an INSERT's data begins, what must not run here
    engine.py       the answer: one engine in this process, one session a request
    server.py       over HTTP: queueing, streaming, compression, errors
    pages.py        ClickHouse's own /dashboard and /play, which the engine's library carries

`python -m ops.stack.clickhouse_http DATA --port 8123` runs it. What the real server has beyond this: users and passwords,
sessions over several requests (`session_id` is accepted and does nothing), external data, INSERT SELECT from input(), and
cancelling a query by its id.
"""
