"""What to know before a migration starts: one page of findings, each with what to do.

Here belong questions about the two servers and what stands in them, answered by plain functions that read and
change nothing: on the source (``source``), its fields (``fields``), the freeze of writes (``freeze``),
losses and the upgrade, on the target (``target``, ``space``) and on both (``duration``). ``page`` asks all of
them. What is migrated, and whether it is right, is judged by loading and validation.
"""
