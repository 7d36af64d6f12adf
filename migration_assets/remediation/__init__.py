"""Remediations: what an operator corrects or accepts, without touching the source (section 5).

``rules`` says what a rule is, ``parsing`` reads them from a reviewed YAML file: ``strict_yaml`` what a node
holds, ``parts`` what a key of a rule holds, ``sense`` whether the rule makes sense. ``applying`` is how the
loader applies them before conversion, ``matching`` what makes a value the one that a rule is for. How often
each was applied is told by ``sign_off.applied``. The judge shares the parsed rules and applies them by code
of its own (``validation.judged_remediations``).
"""
