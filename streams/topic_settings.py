"""Settings of topics on the broker against the declared ones. Blocking."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from schemas.errors import StrangeWorld
from schemas.topics import Topic
from streams import admin
from streams.settings import Settings


def check_memory(settings: Settings, changelogs: Iterable[Topic]) -> None:
    """Raise StrangeWorld when one of the changelogs forgets what its agent has to know, and Unavailable without a broker."""
    found = list(_settings(settings, changelogs))
    by_age = {setting.topic for setting in found if setting.name == "cleanup.policy" and "delete" in setting.actual}
    for setting in found:
        if setting.forgets and (setting.name != "retention.ms" or setting.topic in by_age):
            raise StrangeWorld(
                f"{setting.topic} forgets too soon what its agent has to remember ({setting.name} is {setting.actual}, not "
                f"{setting.declared}): {setting.remedy} makes it right, and `safelight topics` shows what is declared"
            )


def differences(settings: Settings, topics: Iterable[Topic]) -> list[str]:
    """A line for each setting that is not as declared, with the command that makes it so. Raises Unavailable without a broker."""
    return [
        f"{setting.topic}: {setting.name} is {setting.actual}, declared is {setting.declared} ({setting.remedy} makes it so)"
        for setting in _settings(settings, topics)
        if setting.actual != setting.declared
    ]


class _Setting(NamedTuple):
    topic: str
    name: str
    actual: str
    declared: str

    @property
    def remedy(self) -> str:
        value = f"[{self.declared}]" if "," in self.declared else self.declared
        return f"`kafka-configs --alter --topic {self.topic} --add-config {self.name}={value}`"

    @property
    def forgets(self) -> bool:
        """Whether a changelog forgets by it what its agent, or a local store, still has to know."""
        if self.name == "cleanup.policy":
            return "delete" in self.actual and "delete" not in self.declared
        return self.name.endswith("retention.ms") and 0 <= int(self.actual) < int(self.declared)


def _settings(settings: Settings, topics: Iterable[Topic]) -> Iterator[_Setting]:
    for topic, actual in admin.configured(settings, topics).items():
        for name, declared in settings.declared(topic).config.items():
            if name in actual:
                yield _Setting(settings.topic(topic), name, actual[name], declared)
