"""Predictions over files of data."""
