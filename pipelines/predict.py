"""DVC stage `predict`: score the frozen clinical test set."""

from lifecycle.workflows.enrolling import predict_frozen
from lifecycle.workflows.stage import run_stage

if __name__ == "__main__":
    run_stage("predict", predict_frozen)
