"""The program: ``migration-assets``, or ``python -m migration_assets``."""

from migration_assets import interrupts


def main() -> None:
    """Runs a command. Before anything else that takes time, Ctrl-C is made to end it in one line."""
    interrupts.end_at_once()
    from migration_assets.cli import app  # noqa: PLC0415

    app()


if __name__ == "__main__":
    main()
