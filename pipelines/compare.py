"""DVC stage `compare`: agreement with the builds before."""

from lifecycle.workflows.deciding import compare_builds
from lifecycle.workflows.stage import run_stage

if __name__ == "__main__":
    run_stage("compare", compare_builds)
