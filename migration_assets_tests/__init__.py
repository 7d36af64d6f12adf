"""The tests: pure functions fast, the promise against a real MongoDB and a real PostgreSQL."""
