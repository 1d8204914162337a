"""DVC stage `report`: the report for people, and the view in MLflow."""

from lifecycle.workflows.reporting import write_report
from lifecycle.workflows.stage import run_stage

if __name__ == "__main__":
    run_stage("report", write_report)
