"""Prefect flows and the command line: thin, no logic about data."""
