"""DVC stage `import_data`: read the classifier's sources."""

from lifecycle.workflows.data import import_data
from lifecycle.workflows.stage import run_stage

if __name__ == "__main__":
    run_stage("import_data", import_data)
