"""The asset graph (section 7). Dagster stands in this package alone, and only joins functions to assets.

Its modules do without ``from __future__ import annotations``: Dagster looks at the types themselves.
"""
