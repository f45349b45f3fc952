"""Helpers that know nothing of labels or networks: files, random numbers, the terminal."""
