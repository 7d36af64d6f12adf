"""The tests: pure functions in `unit`, the promise on a real MongoDB and a real PostgreSQL elsewhere."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
"""The project, whose pages and files tests look at."""
