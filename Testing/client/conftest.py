"""The other computer of these tests."""

from __future__ import annotations

from loopback_host import loopback_host

__all__ = ["loopback_host"]
