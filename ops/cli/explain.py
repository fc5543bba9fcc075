"""Errors that a command ends with, in one line that says what to do."""

from clickhouse_connect.driver.exceptions import ClickHouseError
from confluent_kafka import KafkaException
from pydantic import ValidationError

from ops.demo import Unfinished
from ops.publish import PublishError
from ops.stack.process import StackError
from schemas.errors import SafelightError


def explain(error: Exception) -> str | None:
    """The line; None for what is a bug."""
    match error:
        case PublishError() | StackError() | SafelightError() | Unfinished():
            return str(error)
        case KafkaException():
            return f"Kafka: {error.args[0].str()}: is the stack up? `safelight status` says what runs"
        case ClickHouseError():
            return f"ClickHouse: {str(error).splitlines()[0]}: is the stack up? `safelight status` says what runs"
        case ValidationError():
            return "; ".join(f"SAFELIGHT_{fault['loc'][0]}".upper() + f": {fault['msg']}" for fault in error.errors())
    return None
