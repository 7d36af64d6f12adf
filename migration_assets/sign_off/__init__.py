"""Sign-off: GO only when every finding is green (section 10)."""
