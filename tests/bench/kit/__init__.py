"""The benchmark: what starts the programs, drives the load, and makes the report. Standard library only."""
