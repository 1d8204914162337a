"""DVC stage `surroundings`: the environment's fingerprint and the sources' digests."""

from lifecycle.workflows.boundary import guarded, leave
from lifecycle.workflows.surroundings import look_around

if __name__ == "__main__":
    leave(guarded(look_around))
