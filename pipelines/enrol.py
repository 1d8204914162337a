"""DVC stage `enrol`: number the build by content and keep it."""

from lifecycle.workflows.enrolling import enrol_build
from lifecycle.workflows.stage import run_stage

if __name__ == "__main__":
    run_stage("enrol", enrol_build)
