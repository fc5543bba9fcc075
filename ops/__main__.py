"""The command `safelight`, also `python -m ops`."""

import sys

from ops.cli import app


def main() -> None:
    """Exit code 0 when done, 1 when it failed (one line on stderr says what to do), 2 when it was called wrongly."""
    try:
        app()
    except Exception as error:
        from ops.cli.explain import explain  # noqa: PLC0415 (knows every driver's errors: slow to import, seldom needed)

        line = explain(error)
        if line is None:
            raise
        print(f"safelight: {line}", file=sys.stderr)  # noqa: T201 (a command prints)
        sys.exit(1)


if __name__ == "__main__":
    main()
