"""DVC stage `gate`: the verdict, kept as evidence; exits 0 whatever it is."""

from lifecycle.workflows.judging import judge_build
from lifecycle.workflows.stage import run_stage

if __name__ == "__main__":
    run_stage("gate", judge_build)
