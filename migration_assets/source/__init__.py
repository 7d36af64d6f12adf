"""Reading MongoDB: opening the source, raw batches in `_id` order, fingerprints. Nothing is written."""
