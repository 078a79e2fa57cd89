"""The JSON documents that commands print and write."""

from typing import Any

Document = dict[str, Any]
"""A JSON document that a command prints with --json, or that stands in a file."""
