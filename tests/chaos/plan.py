"""What is done to whom: a seeded list in which every boundary has its share."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count, cycle

from streams.step import Step
from tests.chaos.arms import FETCHED, INFERRED, Action
from tests.chaos.weather import Trouble

AGENTS = ("admit", "enrich", "group", "store")
SERVERS = ("broker", "clickhouse", "triton")

_PARTITION = (Step.REBALANCING, Step.CLAIMING, Step.STOPPING)
_STATE = (Step.RESTORING, Step.APPLIED)
_BATCH = (Step.READ, Step.WORKED, Step.BEGUN, Step.PUBLISHED, Step.POSITIONED, Step.COMMITTED)
_SINK = (Step.READ, Step.WORKED, Step.PENDING, Step.INSERTING, Step.INSERTED, Step.POSITIONED, Step.COMMITTED)

REACHES: Mapping[str, tuple[str, ...]] = {
    "admit": (*_PARTITION, *_STATE, *_BATCH),
    "enrich": (*_PARTITION, *_STATE, *_BATCH, FETCHED, INFERRED),
    "group": (*_PARTITION, *_STATE, *_BATCH),
    "store": (*_PARTITION, *_SINK),
}
"""The boundaries that each agent comes by."""

_NEEDED: Mapping[str, str] = {
    FETCHED: "triton",
    Step.INSERTING: "clickhouse",
    Step.INSERTED: "clickhouse",
    Step.PUBLISHED: "broker",
    Step.POSITIONED: "broker",
    Step.CLAIMING: "broker",
    Step.RESTORING: "broker",
}
"""The server that a worker needs at, or right behind, a boundary."""

_INSTEAD = 0.15  # of the kills at such a boundary it is the server that dies, not the worker
_EVERY = 8  # of so many kills one is a server's, whenever it comes
_OTHERS = (  # whether long, and for each kill so many of these: enough for all places in a thousand kills
    (Action.STOP, True, 0.05),
    (Action.STOP, False, 0.05),
    (Action.LEAVE, False, 0.06),
    (Action.HANG, True, 0.05),
    (Action.HANG, False, 0.02),
)
_APART = 9  # places by which the kinds are apart, so that a short plan does not have them all at one
_HELD_UP = 0.03  # and so many servers that do not answer for a while
_OF_EACH_TROUBLE = 0.03
_TROUBLES = (
    *(
        (server, trouble)
        for server in ("clickhouse", "triton")
        for trouble in (Trouble.SLOW, Trouble.BROKEN_OFF, Trouble.REFUSING)
    ),
    ("objects", Trouble.GONE),
)


@dataclass(frozen=True, slots=True)
class Deed:
    """One thing to do to a worker of an agent, at a boundary, or to a server or to the photos (then `boundary` is empty).

    `instead`: the server that is killed at the boundary in the worker's stead. `long`: a worker is stopped past its session,
    or held up for about half of it; a server is away for seconds.
    """

    agent: str
    boundary: str
    action: Action | Trouble
    instead: str = ""
    long: bool = False

    def __str__(self) -> str:
        whom = self.instead or self.agent
        where = f" at {self.agent}'s {self.boundary}" if self.boundary else ""
        return f"{self.action.name}{' (long)' if self.long else ''} {whom}{where}"


def plan(kills: int, seed: int) -> list[Deed]:
    """So many kills, every boundary once before any comes again; stops, leaves, hangs and bad weather among them.

    At a boundary it is a worker that is killed first; servers take turns. Places of stops, leaves and hangs do too, and the next
    seed's plan goes on where this one ends: several short plans come by as many as a long one.
    """
    rng = random.Random(f"plan {seed}")
    deeds: list[Deed] = []
    servers = cycle(rng.sample(SERVERS, len(SERVERS)))
    for again in count():
        if len(deeds) >= kills:
            break
        for at in rng.sample(sorted(_AGENTS_AT), len(_AGENTS_AT)):
            instead = _NEEDED.get(at, "") if again and rng.random() < _INSTEAD else ""
            deeds.append(Deed(_least_busy(_AGENTS_AT[at], deeds, rng), at, Action.KILL, instead))
            if len(deeds) % _EVERY == 0:
                deeds.append(Deed(next(servers), "", Action.KILL, long=rng.random() < 0.2))
    del deeds[kills:]
    others = [
        Deed(*_PLACES[(seed * many + number + kind * _APART) % len(_PLACES)], action, long=long)
        for kind, (action, long, share) in enumerate(_OTHERS)
        for many in [_many(share, kills)]
        for number in range(many)
    ]
    others += [Deed(next(servers), "", Action.STOP, long=rng.random() < 0.3) for _ in range(_many(_HELD_UP, kills))]
    others += [
        Deed(whom, "", trouble, long=rng.random() < 0.3)
        for whom, trouble in _TROUBLES
        for _ in range(_many(_OF_EACH_TROUBLE, kills))
    ]
    for deed in others:
        deeds.insert(rng.randrange(len(deeds) + 1), deed)
    return deeds


def aimed(
    deeds: int, seed: int, *, at: Sequence[str], agents: Sequence[str], action: Action = Action.KILL
) -> list[Deed]:
    """So many deeds of one kind, at these boundaries of these agents: where a certain bug bites."""
    rng = random.Random(f"aimed {seed}")
    places = [(agent, boundary) for agent in agents for boundary in at if boundary in REACHES[agent]]
    return [Deed(*rng.choice(places), action, long=action is not Action.KILL) for _ in range(deeds)]


def _many(share: float, kills: int) -> int:
    return max(1, round(share * kills))


def _least_busy(agents: Sequence[str], deeds: Sequence[Deed], rng: random.Random) -> str:
    return min(rng.sample(agents, len(agents)), key=lambda agent: sum(deed.agent == agent for deed in deeds))


_AGENTS_AT: Mapping[str, Sequence[str]] = {
    at: [agent for agent in AGENTS if at in REACHES[agent]]
    for at in {at for reached in REACHES.values() for at in reached}
}

_AT = [(agent, at) for agent in AGENTS for at in REACHES[agent]]
_PLACES = random.Random("places").sample(_AT, len(_AT))
"""Every boundary of every agent, in an order in which a few in a row are no one agent's."""
