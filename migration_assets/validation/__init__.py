"""Four layers of validation (section 9), none of which shares the loader's decoding or conversions.

``row_count``, ``values``, ``references`` and ``types`` each return the :class:`Evidence` of one table; a
pandera schema gives the verdict. ``reference`` is the plain per-document reading of section 5 that
``values`` judges by.
"""
