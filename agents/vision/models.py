"""Every model that can be asked, by name."""

from agents.vision.scene_label import SCENE_LABEL

MODELS = {model.name: model for model in (SCENE_LABEL,)}
