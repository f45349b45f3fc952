"""What parts of the package cost in time: ``python -m benchmarks.speed NAME OPTIONS...``, one module per NAME."""
