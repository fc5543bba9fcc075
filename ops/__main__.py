"""The command `safelight`, also `python -m ops`."""

import sys

from clickhouse_connect.driver.exceptions import ClickHouseError
from confluent_kafka import KafkaException
from pydantic import ValidationError

from ops.cli import app
from ops.demo import Unfinished
from ops.publish import PublishError
from ops.stack.process import StackError
from schemas.errors import SafelightError


def main() -> None:
    """Exit code 0 when done, 1 when it failed (one line on stderr says what to do), 2 when it was called wrongly."""
    try:
        app()
    except (PublishError, StackError, SafelightError, Unfinished) as error:
        _fail(str(error))
    except KafkaException as error:
        _fail(f"Kafka: {error.args[0].str()}: is the stack up? `safelight status` says what runs")
    except ClickHouseError as error:
        _fail(f"ClickHouse: {str(error).splitlines()[0]}: is the stack up? `safelight status` says what runs")
    except ValidationError as error:
        _fail("; ".join(f"SAFELIGHT_{e['loc'][0]}".upper() + f": {e['msg']}" for e in error.errors()), code=2)


def _fail(message: str, code: int = 1) -> None:
    print(f"safelight: {message}", file=sys.stderr)  # noqa: T201 (a command prints)
    sys.exit(code)


if __name__ == "__main__":
    main()
