"""Settings of all tests."""

from hypothesis import settings

# How long an example takes says something of the machine, nothing of the code: speed is measured in tests/bench.
settings.register_profile("trimtab", deadline=None)
settings.load_profile("trimtab")
