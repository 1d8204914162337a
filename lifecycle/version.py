"""The version of this program: every record that it writes names it."""

VERSION = "0.2.0"
PROGRAM = f"lifecycle {VERSION}"
