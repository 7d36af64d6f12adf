"""Loading: batches into staging, then one merging transaction for each table (section 8).

``encoding`` writes a frame as COPY reads it; ``staging`` holds what a load has committed so far;
``merging`` brings the table to the staged state; ``pipeline`` overlaps reading, converting and writing;
``documents``, ``pairs`` and ``identities`` are the three kinds of loads.
"""
