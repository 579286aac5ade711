"""HiGHS, the solver of linear and mixed-integer programs, as plans need it: silent, and the same on every run."""

from highspy import Highs


class QuietHighs(Highs):
    """A solver that writes nothing to standard output, not even its banner, and uses one thread and one seed.

    The banner is written by the first call that a new solver gets, which is the one in its own constructor.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.setOptionValue("threads", 1)
        self.setOptionValue("random_seed", 0)

    def enableCallbacks(self) -> None:  # noqa: N802
        """As the constructor calls it: the output goes off first."""
        self.setOptionValue("output_flag", False)
        super().enableCallbacks()  # type: ignore[no-untyped-call]
