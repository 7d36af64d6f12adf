"""Reading MongoDB, of which nothing is changed.

What belongs here: opening the source, now or as of a moment; what counts as one collection; ranges of
`_id`s, raw batches, the fields of their BSON, and digests of it all. What does not: what a value becomes
(``conversion``), and anything that knows a table.
"""
