"""Dead letters as an operator meets them: what was rejected is mended, tried again by the command, and counts once."""

import json
import signal
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from ops.publish import File
from ops.tail import Tail
from schemas.errors import Reason
from schemas.events import Redrive, Root
from schemas.redrive import redriven
from schemas.topics import EVENTS, METRICS
from streams.lag import lag
from tests.e2e.test_commands import ended, safelight
from tests.support.backbone import SAMPLES, new_owner
from tests.support.eventually import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

COFFEE = File(SAMPLES / "coffee.jpg", "coffee.jpg")


class Desk:
    """An operator, and an upload service that publishes before the object is there. Of an owner and a source of its own."""

    def __init__(self, stack):
        self.stack = stack
        self.owner = self.source = new_owner()

    def too_early(self, name="early"):
        """The event of a photo whose object is not there yet."""
        with self.stack.producer() as producer:
            event = self._event(name, producer)
            producer.publish(event)
        return event

    def _event(self, name, producer):
        event = self.stack.uploader(producer, self.owner).event(COFFEE, COFFEE.path.read_bytes())
        uri = f"{event.object_uri.removesuffix('.jpg')}-{self.owner}-{name}.jpg"
        return replace(event, event_id=name, photo_id=name, object_uri=uri, source=self.source)

    def publish(self, *events):
        with self.stack.producer() as producer:
            for event in events:
                producer.publish(event)

    def mend(self, *events):
        """Put the objects where they should have been."""
        for event in events:
            path = Path(unquote(urlsplit(event.object_uri).path))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(COFFEE.path.read_bytes())

    def run(self, *arguments, code=0):
        return ended(safelight("deadletters", *arguments, data=self.stack.embedded.data), code=code)

    def redrive(self, *arguments):
        told = json.loads(self.run("redrive", "--owner", self.owner, "--yes", "--json", *arguments))
        return told["sent"], told["skipped"]

    @contextmanager
    def slowly_redriving(self):
        """A process that sends four a second; killed at the end, if it is there."""
        arguments = ("redrive", "--owner", self.owner, "--yes", "--rate", "4")
        process = safelight("deadletters", *arguments, data=self.stack.embedded.data)
        try:
            yield process
        finally:
            process.kill()
            process.communicate()

    def wait_for_some(self, log):
        """Until events have come to the log; how many."""

        def some():
            count = len(list(log.values()))
            assert count > 0
            return count

        return eventually(some, within=60, every=0.05)

    def letters(self):
        """Photo, attempt and reason of each."""
        return sorted(
            self.stack.query(
                "SELECT photo_id, attempt, reason FROM dead_letters WHERE owner_id = {owner:String}", owner=self.owner
            )
        )

    def wait_for(self, *letters):
        def there():
            assert self.letters() == sorted(letters)

        eventually(there, within=60, every=0.2)

    def root_of(self, event):
        [root] = self.stack.query(
            "SELECT DISTINCT root_generation, root_partition, root_offset FROM dead_letters "
            "WHERE owner_id = {owner:String} AND photo_id = {photo:String} AND reason = 'object_missing'",
            owner=event.owner_id,
            photo=event.photo_id,
        )
        return Root(*root)

    def at_rest(self):
        """Until every agent has read all that there is about photos."""

        def nothing_is_left():
            measured = self.stack.settings.topic(METRICS)
            assert sum(each.records for each in lag(self.stack.settings) if each.topic != measured) == 0

        eventually(nothing_is_left, within=60, every=0.2)

    def outcomes(self):
        """Attempt, stamp and outcome of each, of all photos."""
        return sorted(
            self.stack.query(
                "SELECT attempt, stamp, outcome FROM photo_outcomes WHERE source = {source:String}", source=self.source
            )
        )

    def counted_first(self):
        """Photos, by the rollup."""
        [(photos,)] = self.stack.query(
            "SELECT sum(photos) FROM photo_outcomes_by_minute WHERE source = {source:String} AND stamp = 'first'",
            source=self.source,
        )
        return photos

    def audit(self):
        """How each run ended, with what it sent, and whether it did not end; in order."""
        return self.stack.query(
            "SELECT ending, counts['sent'], isNull(ended_at) FROM audit FINAL WHERE command = 'deadletters redrive' "
            "ORDER BY started_at"
        )


@pytest.fixture
def desk(stack):
    return Desk(stack)


def test_what_was_mended_is_redriven_once_however_often_the_command_runs(desk):
    event = desk.too_early()
    desk.wait_for(("early", 0, "object_missing"))
    assert desk.counted_first() == 1
    assert Reason.OBJECT_MISSING.advice in desk.run("list", "--owner", desk.owner)
    desk.mend(event)

    runs = len(desk.audit())
    assert desk.redrive() == (1, {})
    assert desk.redrive() in ((1, {}), (0, {"seen_since": 1}))  # as soon as it is there, it need not be sent again
    again = redriven(event, Redrive(desk.root_of(event), 1))
    desk.publish(*[again] * 5)  # as if it had been run five times more at the same moment
    desk.at_rest()

    assert desk.outcomes() == [(0, "first", "rejected"), (1, "again", "enriched")]
    assert desk.counted_first() == 1
    [(attempt, stamp, event_id)] = desk.stack.query(
        "SELECT attempt, stamp, event_id FROM photos WHERE owner_id = {owner:String}", owner=desk.owner
    )
    assert (attempt, stamp, event_id) == (1, "again", again.event_id)
    assert desk.redrive() == (0, {"seen_since": 1})
    assert [row[0] for row in desk.audit()[runs:]] == ["done"] * 3
    assert "seen since" in desk.run("show", "early", "--owner", desk.owner)


def test_a_dry_run_changes_nothing(desk):
    desk.too_early()
    desk.wait_for(("early", 0, "object_missing"))
    desk.at_rest()
    runs, log = desk.audit(), Tail(desk.stack.settings, EVENTS)
    told = json.loads(desk.run("redrive", "--owner", desk.owner, "--dry-run", "--json"))
    assert (told["sent"], told["would_send"], told["skipped"]) == (0, 1, {})
    assert list(log.values()) == []
    assert desk.audit() == runs


def test_without_yes_it_asks_and_sends_nothing_on_no(desk):
    desk.too_early()
    desk.wait_for(("early", 0, "object_missing"))
    log = Tail(desk.stack.settings, EVENTS)
    process = safelight("deadletters", "redrive", "--owner", desk.owner, data=desk.stack.embedded.data, stdin=-1)
    told, _ = process.communicate("n\n", timeout=60)
    assert process.returncode == 1
    assert "1 photos are left to try again" in told
    assert "nothing was sent" in told
    assert list(log.values()) == []


def test_after_three_redrives_it_is_over_whoever_asks(desk):
    event = desk.too_early()
    letters = [("early", 0, "object_missing")]
    desk.wait_for(*letters)
    for attempt in (1, 2, 3):
        assert desk.redrive() == (1, {})
        letters.append(("early", attempt, "object_missing"))
        desk.wait_for(*letters)
    assert desk.redrive() == (0, {"retries_used_up": 1})
    desk.publish(redriven(event, Redrive(desk.root_of(event), 4)))
    desk.wait_for(*letters, ("early", 0, "invalid_redrive"))
    assert desk.redrive() == (0, {"retries_used_up": 1, "no_photo": 1})
    assert desk.counted_first() == 1


def test_a_run_that_was_killed_is_done_again_and_each_counts_once(desk):
    events = [desk.too_early(f"p{n:02}") for n in range(12)]
    desk.wait_for(*((event.photo_id, 0, "object_missing") for event in events))
    desk.mend(*events)
    runs, log = len(desk.audit()), Tail(desk.stack.settings, EVENTS)
    with desk.slowly_redriving() as process:
        sent = desk.wait_for_some(log)
        process.send_signal(signal.SIGKILL)
        process.wait()
    sent += len(list(log.values()))
    assert 0 < sent < len(events)

    desk.redrive()
    desk.at_rest()
    assert desk.outcomes() == [(0, "first", "rejected")] * 12 + [(1, "again", "enriched")] * 12
    assert desk.counted_first() == 12
    assert [(ending, ended) for ending, _, ended in desk.audit()[runs:]] == [("", True), ("done", False)]


def test_one_that_is_told_to_end_says_so_in_the_audit(desk):
    events = [desk.too_early(f"p{n:02}") for n in range(12)]
    desk.wait_for(*((event.photo_id, 0, "object_missing") for event in events))
    runs, log = len(desk.audit()), Tail(desk.stack.settings, EVENTS)
    with desk.slowly_redriving() as process:
        desk.wait_for_some(log)
        process.send_signal(signal.SIGTERM)
        told = ended(process, code=130)
    assert "Traceback" not in told
    [(ending, sent, _)] = desk.audit()[runs:]
    assert ending == "interrupted"
    assert 0 < sent < 12


def test_an_upload_of_a_photo_whose_first_try_was_rejected(desk):
    """The same event is a repeat, other bytes under its id are refused, and another upload is looked at."""
    event = desk.too_early()
    desk.wait_for(("early", 0, "object_missing"))
    desk.mend(event)

    desk.publish(event)
    desk.at_rest()
    assert desk.outcomes() == [(0, "first", "rejected")]

    desk.publish(replace(event, content_sha256=bytes(32)))
    desk.at_rest()
    assert desk.letters() == [("early", 0, "event_id_reused"), ("early", 0, "object_missing")]

    desk.publish(replace(event, event_id="another"))
    desk.at_rest()
    assert desk.outcomes() == [(0, "again", "enriched"), (0, "again", "rejected"), (0, "first", "rejected")]
    assert desk.counted_first() == 1
    assert desk.redrive() == (0, {"seen_since": 1})


def test_bytes_that_are_nobody_s_cannot_be_redriven_and_are_counted(desk):
    desk.stack.publish_bytes(b"nobody's")

    def counted():
        told = json.loads(
            desk.run("redrive", "--reason", "unreadable_event", "--since", "1h", "--yes", "--json", "--limit", "1")
        )
        assert told["sent"] == 0
        assert set(told["skipped"]) == {"nobody"}

    eventually(counted, within=60, every=0.5)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("show", "nowhere-to-be-found"), 1, "no dead letter has the root or photo_id nowhere-to-be-found"),
        (("list", "--since", "yesterday"), 2, "how long ago"),
        (("list", "--reason", "bad_luck"), 2, "bad_luck"),
    ],
)
def test_what_cannot_be_answered_says_what_to_do(desk, arguments, code, says):
    assert says in " ".join(desk.run(*arguments, code=code).split())
