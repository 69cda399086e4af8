"""What may leave for another computer: asked once for a host and for each kind of what leaves."""

from __future__ import annotations

import pytest

from ccella_core.client.consent import REPORT, SCAN, not_agreed, with_agreed, words


def test_each_kind_is_agreed_to_by_itself_and_for_one_host() -> None:
    stored = with_agreed("", "me@a", [REPORT])
    assert not_agreed(stored, "me@a", [REPORT]) == () and not_agreed(stored, "me@a", [REPORT, SCAN]) == (SCAN,)
    assert not_agreed(stored, "me@b", [REPORT, SCAN]) == (REPORT, SCAN)
    stored = with_agreed(with_agreed(stored, "me@b", [REPORT]), "me@a", [SCAN])
    assert not_agreed(stored, "me@a", [SCAN, REPORT]) == () and not_agreed(stored, "me@b", [SCAN]) == (SCAN,)


def test_hosts_agreed_to_when_only_reports_were_sent_are_asked_about_scans() -> None:
    stored = '["me@a", 7, "me@b"]'
    assert not_agreed(stored, "me@a", [REPORT, SCAN]) == (SCAN,)
    stored = with_agreed(stored, "me@a", [SCAN])
    assert not_agreed(stored, "me@a", [REPORT, SCAN]) == () and not_agreed(stored, "me@b", [REPORT, SCAN]) == (SCAN,)


@pytest.mark.parametrize(
    "stored", ["", "{", "null", "7", '{"me@a": "report scan"}', '{"me@a": {"scan": 1}}', "[" * 99999]
)
def test_what_cannot_be_read_is_no_agreement(stored: str) -> None:
    assert not_agreed(stored, "me@a", [REPORT, SCAN]) == (REPORT, SCAN)
    assert not_agreed(with_agreed(stored, "me@a", [REPORT]), "me@a", [REPORT]) == ()


def test_what_leaves_is_said() -> None:
    assert words([REPORT]) == "the reports that you generate from"
    assert words([REPORT, SCAN]) == (
        "the reports that you generate from and the scans that you edit, with the masks of what may change"
    )
