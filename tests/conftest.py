"""Settings of all tests."""

import os

from hypothesis import settings

# How long an example takes says something of the machine, nothing of the code: speed is measured in tests/bench.
settings.register_profile("trimtab", deadline=None)
# What lands is judged by the same examples each time; new ones are looked for where somebody sits before them.
settings.register_profile("ci", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None, max_examples=3000)
settings.load_profile("ci" if os.environ.get("CI") else "trimtab")
