"""Sign-off: GO only when every finding is green (section 10).

``recorded`` reads the target's own record, ``applied`` what each rule did, ``check_states`` says which checks
of it count, ``blockers`` what stands against a GO and ``information`` what does not; ``waivers`` are what
people answer for, ``verdict`` is the sum of these, and ``report``, ``page`` and ``dashboard`` show it;
``signing`` keeps it. What is lost and why is told by ``causes``; whether a table is right was judged by
``validation``: here nothing is compared again.
"""
