"""Every model that can be asked, by name."""

from agents.vision.face_detect import FACE_DETECT
from agents.vision.object_detect import OBJECT_DETECT
from agents.vision.scene_label import SCENE_LABEL
from agents.vision.text import TEXT
from agents.vision.unsafe import UNSAFE

MODELS = {model.name: model for model in (SCENE_LABEL, OBJECT_DETECT, FACE_DETECT, UNSAFE, TEXT)}
