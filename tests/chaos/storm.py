"""Doing what the plan says: each agent's deeds one after another, all agents at once, none far ahead of the others."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

from tests.chaos.arms import Action
from tests.chaos.crew import Crew, Other
from tests.chaos.plan import AGENTS, Deed
from tests.chaos.servers import Servers
from tests.chaos.weather import Trouble, Weather

_AHEAD = 8  # deeds by which one agent may be ahead of the others
_TEND_SECONDS = 0.3

Say = Callable[[str], None]


class Storm:
    """Over crews and servers. `kills` and `others` count what was done without a boundary."""

    def __init__(
        self,
        crews: Mapping[str, Crew],
        servers: Servers,
        weather: Weather,
        *,
        rng: random.Random,
        say: Say,
        watch: Callable[[], None],
    ) -> None:
        """`watch` is called now and then while it lasts."""
        self.kills: Counter[str] = Counter()
        self.others: Counter[Other] = Counter()
        self._crews = crews
        self._servers = servers
        self._weather = weather
        self._rng = rng
        self._say = say
        self._watch = watch
        self._open: set[int] = set()  # numbers of the deeds that are not done
        self._moved = threading.Condition()
        self._over = threading.Event()

    def rage(self, deeds: Iterable[Deed]) -> None:
        """Until all is done. Raises what goes wrong in the harness itself."""
        numbered = list(enumerate(deeds))
        self._open = {number for number, _ in numbered}
        shares = [[(number, deed) for number, deed in numbered if deed.agent == agent] for agent in AGENTS]
        shares.append([(number, deed) for number, deed in numbered if deed.agent not in AGENTS])
        with ThreadPoolExecutor(len(shares)) as pool:
            works = [pool.submit(self._each, share) for share in shares]
            try:
                while not all(work.done() for work in works) and not any(map(_failed, works)):
                    time.sleep(_TEND_SECONDS)
                    for crew in self._crews.values():
                        crew.tend()
                    self._watch()
            finally:
                with self._moved:  # after an error or Ctrl-C: nothing further is begun
                    self._over.set()
                    self._moved.notify_all()
            for work in works:
                work.result()

    @property
    def done(self) -> int:
        """Kills so far."""
        return self.kills.total() + sum(crew.kills.total() for crew in self._crews.values())

    def _each(self, share: list[tuple[int, Deed]]) -> None:
        for number, deed in share:
            with self._moved:
                self._moved.wait_for(lambda number=number: self._over.is_set() or number <= min(self._open) + _AHEAD)
            if self._over.is_set():
                return
            began = time.monotonic()
            try:
                if deed.agent in AGENTS:
                    self._crews[deed.agent].inflict(deed)
                else:
                    self._around(deed)
            finally:
                with self._moved:
                    self._open.discard(number)
                    self._moved.notify_all()
            self._say(f"{self.done} kills; {deed} took {time.monotonic() - began:.1f} s")

    def _around(self, deed: Deed) -> None:
        """To what the workers depend on."""
        seconds = self._rng.uniform(2.0, 4.0) if deed.long else 0.0
        if deed.action is Action.KILL:
            self.kills[deed.agent] += self._servers.kill(deed.agent, away=seconds)
        elif isinstance(deed.action, Trouble):
            noticed = self._weather.strike(deed.agent, deed.action, seconds or 0.5)
            self.others[f"{deed.agent} {deed.action}", ""] += noticed
        else:
            self.others[f"{deed.agent} held up", ""] += self._servers.hold_up(deed.agent, seconds or 0.5)


def _failed(work: Future[None]) -> bool:
    return work.done() and work.exception() is not None
