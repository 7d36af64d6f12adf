"""What to know before a migration starts: one page of findings, each with what to do.

Here belong questions about the two servers and what stands in them, answered by plain functions that read and
change nothing. What is migrated, and whether it is right, is judged by loading and validation.
"""
