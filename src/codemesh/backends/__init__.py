"""Stores of records: the contract, the table, and one file for each backend."""
