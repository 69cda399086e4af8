"""The precision of a launch, on devices that compute in bf16 and on those that do not."""

from __future__ import annotations

import pytest

from ccella_core.runs.launch import new_accelerator


@pytest.mark.parametrize(("native", "precision"), [(True, "bf16"), (False, "no")])
def test_auto_computes_in_bf16_where_the_device_does(monkeypatch, native, precision):
    monkeypatch.setattr("ccella_core.devices._has_native_bf16", lambda device: native)
    assert new_accelerator("auto").mixed_precision == precision


@pytest.mark.parametrize("native", [True, False])
def test_bf16_is_taken_at_its_word_with_a_warning_where_it_is_emulated(monkeypatch, caplog, native):
    monkeypatch.setattr("ccella_core.devices._has_native_bf16", lambda device: native)
    assert new_accelerator("bf16").mixed_precision == "bf16"
    assert ("does not compute in bf16" in caplog.text) != native
