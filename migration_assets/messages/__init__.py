"""Messages to users and team: templates, and filling them from the record (operations, section 5).

A message is never sent with a gap: every placeholder is given, computed, or read from the run's own record,
or the message is refused. Dates are times with a zone, written out here, so that no weekday can be wrong.
"""
