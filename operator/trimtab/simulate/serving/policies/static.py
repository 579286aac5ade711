"""A fleet that never changes."""

from trimtab.simulate.serving.policy import Desired, Observation


class Static:
    """So many replicas of one option, from beginning to end."""

    def __init__(self, option: int, replicas: int, interval_seconds: float = 1e9) -> None:
        self.interval_seconds = interval_seconds
        self._desired = {option: replicas}

    def start(self) -> Desired:
        """That fleet."""
        return self._desired

    def decide(self, seen: Observation) -> Desired:
        """That fleet."""
        return self._desired
