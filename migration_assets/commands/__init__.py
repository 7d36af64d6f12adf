"""What the command line does: each module is one command's work, free of argument parsing."""
