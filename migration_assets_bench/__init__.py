"""The benchmark: how fast a migration is, against the two databases' own speed and against its peers.

The story of a figure: fresh servers and a sample (``sample``), each measurement a process of its own
(``process``, ``child``) that does one kind of work (``floor``, ``ours``, ``cycle``, ``peers``), its rows
verified (``sample.expected_rows``, ``verification``), the order changing from round to round (``rounds``);
then ratios and medians (``figures``) in a table, in a page (``report``) and in a picture (``chart``).

What belongs here: measuring. What does not: anything that a migration needs, which is why it is no part
of the wheel.
"""
