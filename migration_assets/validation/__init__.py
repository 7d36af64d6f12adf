"""Four layers of validation (section 9), none of which shares the loader's walk over BSON or its conversions.

``checks`` runs them. ``row_count`` reads for itself; ``values``, ``references`` and ``types`` are views of
one ``table_pass``: over a collection (``entity_pass``) or over the arrays of a relation (``pair_pass``).
Where the definition of a table is another one, ``types`` reads it alone. Both passes hold what is expected
against what is there by one function, ``comparison``; a pandera schema judges all lines. ``judge`` is the
plain reading of section 5 that documents are judged by, one by one (``judging``); ``expected`` and
``plain_pairs`` say of many at once what needs no judging; ``rows`` reads what is there.
"""
