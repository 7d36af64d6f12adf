"""The asset graph (section 7). Dagster stands in this package alone, and only joins functions to assets."""
