"""The running stack as tests use it: publish photos, ask ClickHouse what became of them."""

import uuid
from pathlib import Path

from confluent_kafka import Producer

from ops.database import database
from ops.publish import Uploader, find_photos
from ops.stack.embedded import Embedded
from schemas.topics import EVENTS
from streams.producer import PhotoProducer
from tests.support.eventually import eventually

SAMPLES = Path(__file__).parents[2] / "ops" / "samples"


class Backbone:
    """Everything, as `safelight up` starts it."""

    def __init__(self, embedded: Embedded):
        self.embedded = embedded
        self.settings = embedded.settings
        self.page_url = embedded.page_url

    def publish(self, paths=(SAMPLES,), owner=None):
        """The photo ids of what was published, in order; for a new owner unless one is named."""
        return [event.photo_id for event in self.upload(paths, owner)]

    def upload(self, paths=(SAMPLES,), owner=None):
        """As publish; the events."""
        with self.producer() as producer:
            uploader = self.uploader(producer, owner or new_owner())
            return [uploader.upload(file) for file in find_photos(paths).photos]

    def producer(self):
        return PhotoProducer(self.settings.brokers, topic=self.settings.topic(EVENTS))

    def uploader(self, producer, owner):
        return Uploader(root=self.settings.object_roots[0], owner_id=owner, source="test", producer=producer)

    def publish_bytes(self, value, key=b"owner"):
        """Something that is not an event, as a broken service would send it."""
        producer = Producer({"bootstrap.servers": self.settings.brokers, "partitioner": "murmur2_random"})
        producer.produce(self.settings.topic(EVENTS), value, key)
        assert producer.flush(10) == 0

    def query(self, sql, **parameters):
        """Rows of the database."""
        with database(self.settings) as client:
            return client.query(sql, parameters).result_rows

    def outcomes(self, owner):
        """Of each photo of the owner: "enriched", or the reason why it was rejected."""
        rows = self.query(
            "SELECT photo_id, 'enriched' FROM photo_enrichments WHERE owner_id = {owner:String} "
            "UNION ALL SELECT photo_id, reason FROM dead_letters WHERE owner_id = {owner:String}",
            owner=owner,
        )
        return sorted(rows)

    def wait_for_outcomes(self, events, within=60):
        """Until each of the events has one; as `outcomes`, of all their owners."""
        wanted = sorted(event.photo_id for event in events)
        owners = {event.owner_id for event in events}

        def all_there():
            found = sorted(row for owner in owners for row in self.outcomes(owner))
            assert sorted({photo_id for photo_id, _ in found}) == sorted(set(wanted))
            return found

        return eventually(all_there, within=within, every=0.2)


def new_owner():
    return f"owner-{uuid.uuid4().hex[:8]}"
