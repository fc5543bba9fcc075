"""Every model that can be asked, by name."""

from collections.abc import Sequence

from agents.vision.face_detect import FACE_DETECT
from agents.vision.model import Model
from agents.vision.object_detect import OBJECT_DETECT
from agents.vision.scene_label import SCENE_LABEL
from agents.vision.text import TEXT
from agents.vision.unsafe import UNSAFE
from schemas.errors import StrangeWorld

MODELS = {model.name: model for model in (SCENE_LABEL, OBJECT_DETECT, FACE_DETECT, UNSAFE, TEXT)}


def known_models(names: Sequence[str]) -> list[Model]:
    """The models of these names, each once. Raises StrangeWorld for one that there is not."""
    unknown = [name for name in names if name not in MODELS]
    if unknown:
        raise StrangeWorld(f"SAFELIGHT_MODELS: no model is named {unknown[0]}; there are {', '.join(MODELS)}")
    if not names:
        raise StrangeWorld(f"SAFELIGHT_MODELS names no model; there are {', '.join(MODELS)}")
    return [MODELS[name] for name in dict.fromkeys(names)]
