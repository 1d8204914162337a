"""DVC stage `search`: learning rate and L2."""

from lifecycle.workflows.building import find_rates
from lifecycle.workflows.stage import run_stage

if __name__ == "__main__":
    run_stage("search", find_rates)
