"""Findings by cause: what lies behind the losses on record, and how many decisions are left until GO.

One user who is gone can take a board, its sections and forty tasks along. Here belong the losses as the
books have them, the way from each to its root, what is known of an id that leads nowhere, and the rule that
would resolve a cause. Whether a cause stands against a GO is for ``sign_off``.
"""
