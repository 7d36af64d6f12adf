"""Four layers of validation (section 9), none of which shares the loader's decoding or conversions.

``checks`` runs them. ``row_count`` and ``types`` read for themselves; ``values`` and ``references`` are views
of one ``comparison``: a pass over a collection (``entity_pass``) or over the arrays of a relation
(``pair_pass``), whose ``findings`` a pandera schema judges. ``reference`` is the plain reading of section 5
that documents are judged by, one by one; ``plain_rows`` and ``plain_pairs`` prove what needs no judging.
"""
