"""The version of this program: every record that it writes names it."""

VERSION = "0.3.0"
PROGRAM = f"lifecycle {VERSION}"
