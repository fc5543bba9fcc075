"""One round: the real stack, a seeded feed, a seeded plan of kills, and at the end the accounts."""

import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ops.prepare import prepare_database
from schemas.errors import Unavailable
from schemas.topics import METRICS
from streams import provision
from streams.lag import lag
from streams.settings import Settings
from streams.topology import FLOWS
from tests.chaos.account import Account, account
from tests.chaos.bugs import named
from tests.chaos.crew import Crew, Other
from tests.chaos.feed import Album, Drafts, Feed
from tests.chaos.nursery import Nursery
from tests.chaos.plan import AGENTS, Deed
from tests.chaos.records import Unsettled, positions
from tests.chaos.servers import Servers
from tests.chaos.storm import Say, Storm
from tests.chaos.weather import Weather
from tests.support.eventually import eventually

_SESSION_SECONDS = 2.0
_RATE = 60.0  # records a second
_REST_SECONDS = 180.0
_MOST_BEHIND = 300  # records, of all agents together
_LOOK_SECONDS = 1.0
_ENDS = 5


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a round came to.

    `by_boundary`: kills, of a worker by the boundary, of a server there in a worker's stead by both ("claiming: broker"), of a
    server at any time by its name; `others`: what else was done to workers and servers, and where; `unreached`: boundaries that no worker came by when it was armed; `ended`: last words of workers that ended by themselves, as
    one that was fenced should; `late`: workers that took longer than half a session to end; `failures`: starts of servers that did
    not work at once; `faults`: bad events that were sent, by kind; `feed_error`: what the feeder stumbled over.
    """

    seed: int
    account: Account
    by_boundary: Counter[str]
    others: Counter[Other]
    unreached: Counter[str]
    ended: list[str]
    late: list[str]
    failures: list[str]
    faults: Counter[str]
    feed_error: str
    seconds: float

    @property
    def kills(self) -> int:
        return self.by_boundary.total()

    @property
    def deeds(self) -> int:
        """Kills and all else that was done."""
        return self.kills + self.others.total()

    @property
    def wrong(self) -> str:
        """Why this round proves nothing, or too much; empty when all is as it must be."""
        if self.feed_error:
            return f"the feed failed: {self.feed_error}"
        if not self.account.published:
            return "nothing was published"
        return "" if self.account.exact else "not exact"


def play(
    folder: Path, deeds: Iterable[Deed], *, seed: int, say: Say, bug: str = "", workers: int = 2, rate: float = _RATE
) -> Outcome:
    """One round. `bug`: see tests/chaos/bugs.py, `named`.

    Raises Unsettled when the pipeline does not come to rest, StackError when a server does not start.
    """
    began = time.monotonic()
    servers = Servers(folder)
    nursery = Nursery(folder)
    weather = Weather(servers, folder / "objects")
    try:
        servers.start()
        settings = _settings(folder, servers)
        provision.ensure(settings)
        prepare_database(settings)
        if bug:
            named(bug).prepare(settings)
        feed = Feed(settings, Drafts(seed, Album(folder / "objects", random.Random(seed)), settings), rate=rate)
        exposed = settings.model_copy(update=weather.addresses)
        crews = _crews(nursery, servers, exposed, seed=seed, workers=workers, bug=bug)
        feed.start()
        watch = _valve(settings, servers, feed)
        storm = Storm(crews, servers, weather, rng=random.Random(f"servers {seed}"), say=say, watch=watch)
        storm.rage(deeds)
        feed.stop()
        say(f"{len(feed.sent)} records sent; waiting until all are settled")
        _rest(settings, crews, servers)
        _end(settings, crews)
        say("accounting")
        result = account(settings, feed.sent)
    finally:
        nursery.close()
        weather.close()
        servers.stop()
    return Outcome(
        seed=seed,
        account=result,
        by_boundary=sum((crew.kills for crew in crews.values()), storm.kills),
        others=sum((crew.others for crew in crews.values()), storm.others),
        unreached=sum((crew.unreached for crew in crews.values()), Counter()),
        ended=[line for crew in crews.values() for line in crew.ended],
        late=[line for crew in crews.values() for line in crew.late],
        failures=servers.failures,
        faults=feed.faults,
        feed_error=feed.error,
        seconds=time.monotonic() - began,
    )


def _settings(folder: Path, servers: Servers) -> Settings:
    """Few partitions and a short session: a small machine carries many workers then, and a kill costs seconds."""
    return Settings(
        brokers=servers.kafka.bootstrap,
        clickhouse_url=servers.clickhouse.url,
        triton=servers.triton.grpc,
        data=folder / "data",
        hash_key="chaos",
        object_roots=((folder / "objects").as_uri(),),
        models=("scene_label",),  # the one that the servers have: a round is about everything else
        partitions=4,
        session=_SESSION_SECONDS,
    )


def _crews(
    nursery: Nursery, servers: Servers, settings: Settings, *, seed: int, workers: int, bug: str
) -> Mapping[str, Crew]:
    values = settings.model_dump(mode="json") | {
        "hash_key": settings.hash_key.get_secret_value(),
        "clickhouse_password": settings.clickhouse_password.get_secret_value(),
        "session": settings.session.total_seconds(),
    }
    crews = {}
    for agent in AGENTS:
        rng = random.Random(f"{agent} {seed}")
        crews[agent] = Crew(agent, nursery, servers, values, rng=rng, workers=workers, bug=bug)
        crews[agent].tend()
    return crews


def _valve(settings: Settings, servers: Servers, feed: Feed) -> Callable[[], None]:
    """Looks how far the agents are behind, at most once a second, and lets the feed wait when that is too much."""
    looked = 0.0

    def look() -> None:
        nonlocal looked
        if time.monotonic() - looked < _LOOK_SECONDS or not servers.kafka.running():
            return
        looked = time.monotonic()
        try:
            feed.flow(on=_behind(settings).total() < _MOST_BEHIND)
        except Unavailable:
            return  # the broker was killed meanwhile

    return look


def _behind(settings: Settings) -> Counter[str]:
    """Records, by partition; metrics aside, of which more come as long as anybody lives."""
    lags = lag(settings, [FLOWS[agent] for agent in AGENTS])
    return Counter(
        {f"{each.topic}-{each.partition}": each.records for each in lags if not each.topic.startswith(METRICS.name)}
    )


def _rest(settings: Settings, crews: Mapping[str, Crew], servers: Servers) -> None:
    """Until no agent is behind."""
    end = time.monotonic() + _REST_SECONDS
    left: Counter[str] = Counter()
    while time.monotonic() < end:
        for crew in crews.values():
            crew.tend()
        with suppress(Unavailable):  # it was not quite up
            left = _behind(settings)
            if not left.total() and servers.up():
                return
        time.sleep(0.2)
    for crew in crews.values():
        crew.tell()
    raise Unsettled(f"after {_REST_SECONDS:.0f} s these have records left: {+left}")


def _end(settings: Settings, crews: Mapping[str, Crew]) -> None:
    """All workers end, store last; and once more where it was told to with rows under way, since all are to be accounted for.

    Metrics, unlike the rest, come to it until the end.
    """
    store = crews["store"]

    def settled() -> None:
        assert not _pending(settings)

    for crew in crews.values():
        crew.stop()
    for _ in range(_ENDS):
        if not _pending(settings):
            return
        store.tend()
        with suppress(AssertionError):  # then it is told to end all the same, once more
            eventually(settled, within=_REST_SECONDS, every=0.1)
        store.stop()
    raise Unsettled(f"{_ENDS} times store was told to end, and rows were under way every time")


def _pending(settings: Settings) -> bool:
    stand = [position for topic in FLOWS["store"].sources for position in positions(settings, "store", topic)]
    return any(position and position.pending for position in stand)
