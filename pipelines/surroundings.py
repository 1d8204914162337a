"""DVC stage `surroundings`: the environment's fingerprint and the sources' digests."""

import sys

from lifecycle.workflows.boundary import guarded
from lifecycle.workflows.surroundings import look_around

if __name__ == "__main__":
    sys.exit(guarded(look_around))
