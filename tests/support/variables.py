"""Settings as variables, for workers that a test starts itself."""

from ops.stack.embedded import where


def variables(settings):
    """Where things are, and whose they are: the namespace, its partitions, its models."""
    return where(settings) | {
        "SAFELIGHT_NAMESPACE": settings.namespace,
        "SAFELIGHT_PARTITIONS": str(settings.partitions),
        "SAFELIGHT_MODELS": ",".join(settings.models),
    }
