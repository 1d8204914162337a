"""DVC stage `build`: train the network in an MLflow run."""

from lifecycle.workflows.building import train_build
from lifecycle.workflows.stage import run_stage

if __name__ == "__main__":
    run_stage("build", train_build)
