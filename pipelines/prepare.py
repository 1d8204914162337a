"""DVC stage `prepare`: check the pin, fit preprocessing, write network input."""

from lifecycle.workflows.data import prepare_data
from lifecycle.workflows.stage import run_stage

if __name__ == "__main__":
    run_stage("prepare", prepare_data)
