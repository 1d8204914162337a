"""DVC stage `threshold`: tau from the holdout of the version's first build."""

from lifecycle.workflows.deciding import choose_threshold
from lifecycle.workflows.stage import run_stage

if __name__ == "__main__":
    run_stage("threshold", choose_threshold)
