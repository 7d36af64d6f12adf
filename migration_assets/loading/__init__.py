"""Loading: a table becomes what its source holds, however often it is begun, cut off or changed meanwhile.

What belongs here: what a load is to do (``planning``), the ranges that are missing (``stage``), what is
staged and how COPY reads it (``staging``, ``encoding``), what is found once all is staged (``relations``),
the merging transaction (``merging``), and what is kept of it for the next load (``ledger``, ``digests``,
``dependencies``). ``load`` goes through these in order; ``documents``, ``pairs`` and ``identities`` are the
jobs that it is given. What does not: what becomes of a document (``conversion``), reading and cutting
collections (``source``), and whether the rows are right (``validation``).
"""
