"""DVC stage `validate`: hold the data against their expectations."""

from lifecycle.workflows.data import validate_data
from lifecycle.workflows.stage import run_stage

if __name__ == "__main__":
    run_stage("validate", validate_data)
