"""Whole paths of ids, across the rooms of the package."""
