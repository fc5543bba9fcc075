"""What came to a topic since some moment."""

import pytest

from ops.tail import Tail
from schemas.errors import Unavailable
from schemas.events import PhotoUploaded
from schemas.topics import EVENTS
from streams import provision
from streams.producer import PhotoProducer
from tests.support.builders import uploaded

pytestmark = pytest.mark.integration


def publish(settings, *event_ids):
    with PhotoProducer(settings.brokers, topic=settings.topic(EVENTS)) as producer:
        for event_id in event_ids:
            producer.publish(uploaded(event_id=event_id, owner_id=event_id))


def test_each_read_has_what_came_since_the_last(settings):
    provision.ensure(settings)
    publish(settings, "a", "b")
    whole, rest = Tail(settings, EVENTS, from_beginning=True), Tail(settings, EVENTS)
    publish(settings, "c")
    assert sorted(event.event_id for event in whole.events(PhotoUploaded)) == ["a", "b", "c"]
    assert [event.event_id for event in rest.events(PhotoUploaded)] == ["c"]
    assert list(rest.values()) == []
    publish(settings, "d")
    assert [event.event_id for event in rest.events(PhotoUploaded)] == ["d"]


def test_without_the_topic_it_is_unavailable(settings):
    with pytest.raises(Unavailable, match=settings.brokers):
        Tail(settings, EVENTS)
