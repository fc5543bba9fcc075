"""The flow: one Faust worker an agent, one batch one transaction. Start at app.py; topology.py is the pipeline on one page."""
