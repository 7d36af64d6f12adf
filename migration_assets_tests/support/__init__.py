"""What several tests use: samples, faults, damages, pages, another application."""

from pathlib import Path

CONTRACT = Path(__file__).parent / "contract"
"""Facts on both databases: every field of the source, every table of the target."""
