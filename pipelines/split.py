"""DVC stage `split`: assign every case to training, holdout or frozen."""

from lifecycle.workflows.data import split_data
from lifecycle.workflows.stage import run_stage

if __name__ == "__main__":
    run_stage("split", split_data)
