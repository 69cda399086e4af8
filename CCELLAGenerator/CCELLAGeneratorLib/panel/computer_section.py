"""Which computer generates: this one, or another by SSH, once the user has agreed to what is sent there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from ..client.command import shared_consent
from ..client.errors import ClientError, checked_host
from .job_section import JobSection
from .widgets import enable_or_explain

LAST_HOST_KEY = "CCELLAGenerator/lastHost"
AGREED_HOSTS_KEY = "CCELLAGenerator/agreedHosts"


class ComputerSection:
    """Connects to another computer and back. Each start of Slicer begins with this one.

    Args:
        ui: the panel's widgets.
        logic: switches, and asks the computer what it has.
        job: shows what goes on.
        on_switched: called with what the computer answered, as ``describe`` does, when it is another one than before.
    """

    def __init__(
        self, ui: Any, logic: Any, job: JobSection, on_switched: Callable[[dict[str, Any] | None], None]
    ) -> None:
        self._ui = ui
        self._logic = logic
        self._job = job
        self._on_switched = on_switched
        ui.hostEdit.text = slicer.util.settingsValue(LAST_HOST_KEY, "")
        ui.hostEdit.connect("textChanged(QString)", self.refresh)
        ui.hostButton.connect("clicked(bool)", self._pressed)
        self.refresh()

    def refresh(self, _text: str = "") -> None:
        """What is under way, or the name, changed."""
        host = self._logic.host
        self._ui.hostButton.text = _("Back to this computer") if host else _("Connect")
        self._ui.hostEdit.enabled = not host and not self._job.running
        busy = _("Wait until what is under way has ended.") if self._job.running else ""
        nameless = "" if host or self._ui.hostEdit.text.strip() else _("Type the other computer's name first.")
        tool_tip = (
            _("Generates on {host} now; the next run is on this computer again.").format(host=host)
            if host
            else (_("Generates on that computer from now on, by the SSH that you use in a terminal."))
        )
        enable_or_explain(self._ui.hostButton, busy or nameless, tool_tip)

    def may_send(self, *, scan: bool) -> bool:
        """Whether a report, and with ``scan`` a scan to edit, may go where generation runs; asks where it must."""
        host = self._logic.host
        return not host or _agreed(host, scan=scan)

    def _pressed(self, _checked: bool) -> None:
        if self._logic.host:
            self._logic.generateOn("")
            self._job.show_status(_("This computer generates again."))
            self.refresh()
            self._on_switched(None)
            return
        try:
            host = checked_host(self._ui.hostEdit.text)
        except ClientError as error:
            self._job.fail(error)
            return
        if not _agreed(host, scan=False):
            return
        self._logic.generateOn(host)
        self._job.begin(_("Connecting to {host}…").format(host=host), self._give_up)
        self._logic.describe(onResult=self._connected, onError=self._not_connected)

    def _connected(self, value: dict[str, Any]) -> None:
        host = self._logic.host
        qt.QSettings().setValue(LAST_HOST_KEY, host)
        self._job.end(_("{host} generates from now on.").format(host=host))
        self._on_switched(value)
        self.refresh()

    def _not_connected(self, error: ClientError) -> None:
        self._logic.generateOn("")
        self._job.fail(error)
        self._on_switched(None)
        self.refresh()

    def _give_up(self) -> None:
        """The user presses Cancel while it connects; the one who asked hears nothing more."""
        self._logic.generateOn("")
        self._job.end(_("This computer generates again."))
        self._on_switched(None)
        self.refresh()


def _agreed(host: str, *, scan: bool) -> bool:
    """Whether what is generated from may be sent there; asked once for a host and for each kind of it."""
    consent = shared_consent()
    stored = slicer.util.settingsValue(AGREED_HOSTS_KEY, "")
    missing = consent.not_agreed(stored, host, (consent.REPORT, consent.SCAN) if scan else (consent.REPORT,))
    if not missing:
        return True
    leaves = {
        consent.REPORT: _("The reports that you generate from leave this computer for {host}."),
        consent.SCAN: _(
            "The scans that you edit leave this computer for {host}, and the masks of what may change: grid and "
            "voxels, and no other word of their files."
        ),
    }
    sentences = [
        *(leaves[kind] for kind in missing),
        _("The volumes come back, and nothing is left there. This is asked once for a computer. Go on?"),
    ]
    if not slicer.util.confirmOkCancelDisplay(" ".join(sentences).format(host=host)):
        return False
    qt.QSettings().setValue(AGREED_HOSTS_KEY, consent.with_agreed(stored, host, missing))
    return True
