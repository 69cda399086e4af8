"""A GPU elsewhere: volumes come back through a real SSH server, and every way it can fail is a sentence."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - the name SimpleITK's own documentation uses
from loopback_host import ALIAS, CHANGED, CLOSED, UNKNOWN, LoopbackHost, gone, kill, own_ssh

from ccella_core import CCELLAPipeline
from ccella_core.client import connection as connection_module
from ccella_core.client.connection import Connection
from ccella_core.client.protocol import SILENCE_SECONDS, encode
from ccella_core.errors import Cancelled, InputError, ModelError, RemoteError
from ccella_core.generation.edit import Sphere

pytestmark = pytest.mark.medium

REPORT = "IMPRESSION: PI-RADS 4 lesion in the left apex – größer."
MANY_STEPS = 1000
KILLS, DRAWING_KILLS = 20, 3  # of which while the volume is drawn, when the libraries have been loaded


def test_the_same_volume_comes_back_and_nothing_is_left_there(
    loopback_host: LoopbackHost, tiny_model: Path, tmp_path: Path
) -> None:
    heard: list[Any] = []
    with CCELLAPipeline.connect(ALIAS, model=str(tiny_model), device="cpu") as pipeline:
        assert len(loopback_host.workers()) == 1
        volumes = pipeline(REPORT, seed=7, count=2, num_inference_steps=2, callback=heard.append)
    here = CCELLAPipeline.from_pretrained(tiny_model, device="cpu")(REPORT, seed=7, count=2, num_inference_steps=2)
    for there, volume in zip(volumes, here, strict=True):
        assert abs(there.voxels - volume.voxels).max() < 1e-4 and there.provenance.report == REPORT
        assert there.provenance.seed == volume.provenance.seed
    assert [(each.batch, each.step) for each in heard if each.stage == "denoise"] == [(0, 1), (0, 2), (1, 1), (1, 2)]
    assert gone(loopback_host.workers) and gone(loopback_host.sessions) and own_ssh() == []
    assert loopback_host.left_behind() == []


def test_a_scan_is_edited_there_as_it_would_be_here(
    loopback_host: LoopbackHost, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    voxels = np.random.default_rng(0).integers(0, 900, (14, 44, 40)).astype(np.int16)
    scan = sitk.GetImageFromArray(voxels)
    scan.SetSpacing((0.5, 0.6, 3.1))
    scan.SetOrigin((-10.25, 1 / 3, 7.0))
    scan.SetMetaData("PatientName", "Doe^John")
    sphere = Sphere((0.0, -13.0, 27.0), 6.0)
    asked: list[bytes] = []
    send = Connection.request
    monkeypatch.setattr(
        Connection, "request", lambda self, *given: (asked.append(encode({"given": given[1]})), send(self, *given))[1]
    )
    options = {"image": scan, "mask": sphere, "seed": 7, "num_inference_steps": 2}
    with CCELLAPipeline.connect(ALIAS, model=str(tiny_model), device="cpu") as pipeline:
        (there,) = pipeline(REPORT, **options)
        with pytest.raises(InputError, match="lies outside the scan"):
            pipeline(REPORT, image=scan, mask=Sphere((500.0, 0.0, 0.0), 6.0))
        with pytest.raises(InputError, match="The model draws t2w, not adc"):
            pipeline(REPORT, image={"adc": scan})
    (here,) = CCELLAPipeline.from_pretrained(tiny_model, device="cpu")(REPORT, **options)
    assert there.voxels.dtype == np.int16 and np.abs(there.voxels - here.voxels.astype(int)).max() <= 1
    assert (there.voxels != voxels.T).sum() > 100 and np.allclose(there.affine, here.affine, atol=1e-5)
    assert there.provenance.source_sha256 == here.provenance.source_sha256
    assert there.provenance.mask_sha256 == here.provenance.mask_sha256
    words = [base64.b64decode(sent["given"]["data"]) for sent in map(json.loads, asked) if "data" in sent["given"]]
    assert len(words) == 2 and not any(b"Doe" in each for each in words)
    assert gone(loopback_host.workers) and loopback_host.left_behind() == []


def test_a_model_of_the_hub_is_fetched_by_the_other_computer(loopback_host: LoopbackHost) -> None:
    with pytest.raises(InputError, match=r"run ccella models download hf:some/model there, and give the model's name"):
        CCELLAPipeline.connect(ALIAS, model="hf:some/model")
    assert loopback_host.workers() == []


def test_mistakes_are_those_of_the_pipeline_and_cost_no_connection(
    loopback_host: LoopbackHost, tiny_model: Path
) -> None:
    with CCELLAPipeline.connect(ALIAS, model=str(tiny_model), device="cpu") as pipeline:
        with pytest.raises(InputError, match="report"):
            pipeline(" ")
        with pytest.raises(InputError, match="number of steps must be"):
            pipeline(REPORT, num_inference_steps=0)
        with pytest.raises(Cancelled):
            pipeline(REPORT, num_inference_steps=MANY_STEPS, callback=lambda progress: False)
        (volume,) = pipeline(REPORT, seed=7, num_inference_steps=1)
        assert volume.provenance.seed == 7 and len(loopback_host.workers()) == 1
        pipeline.model = "no-such-model"
        with pytest.raises(ModelError, match="no-such-model"):
            pipeline(REPORT)
        with pytest.raises(ModelError, match=f"no model no-such-model to use on {ALIAS}"):
            pipeline.describe_model()


@pytest.mark.parametrize(
    ("host", "words"),
    [
        (
            UNKNOWN,
            "The host key of unknown is not known on this computer, so nothing was sent there. Type “ssh unknown”",
        ),
        (CHANGED, "changed has another host key than before, so nothing was sent there. Ask who runs it"),
        (CLOSED, "closed cannot be reached: .*Connection refused"),
        ("no-such-host.invalid", "no-such-host.invalid cannot be reached: .*Could not resolve"),
    ],
)
def test_a_host_that_cannot_be_used_is_a_sentence(loopback_host: LoopbackHost, host: str, words: str) -> None:
    known = (loopback_host.folder / "known_hosts").read_bytes()
    with pytest.raises(RemoteError, match=words) as raised:
        Connection(host)
    assert "\n" not in str(raised.value)
    assert (loopback_host.folder / "known_hosts").read_bytes() == known  # no key was accepted silently
    assert loopback_host.workers() == [] and own_ssh() == []


def test_a_key_that_is_refused_is_a_sentence_and_no_password_is_asked_for(loopback_host: LoopbackHost) -> None:
    (loopback_host.folder / "authorized_keys").write_text("")
    with pytest.raises(RemoteError, match=r"did not let this computer in\. Set up a key"):
        Connection(ALIAS)


def test_no_ccella_or_an_older_one_is_a_sentence(loopback_host: LoopbackHost) -> None:
    loopback_host.remove_ccella()
    with pytest.raises(RemoteError, match=r"There is no ccella on workstation\. Install the same release there"):
        Connection(ALIAS)
    loopback_host.install_ccella("sh", "-c", "'echo No such command worker. >&2; exit 2'")
    with pytest.raises(RemoteError, match="is older than this one"):
        Connection(ALIAS)
    ready = '{"event":"ready","protocol":1,"version":"0.0.9","pid":1,"python":"3.11"}'
    loopback_host.install_ccella("sh", "-c", f"'echo Welcome; echo '\"'\"'{ready}'\"'\"'; sleep 60'")
    with pytest.raises(RemoteError, match=r"ccella on workstation \(0\.0\.9\) speaks version 1 of the protocol"):
        Connection(ALIAS)
    assert gone(loopback_host.sessions) and own_ssh() == []


@pytest.mark.parametrize("host", ["", " ", "-oProxyCommand=touch x", "a b", "user@", "user@-x", "a;b", "a\nb"])
def test_what_is_no_host_is_refused_before_ssh_sees_it(host: str) -> None:
    with pytest.raises(InputError, match="is no other computer: write user@host"):
        Connection(host)


def test_without_ssh_on_this_computer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(RemoteError, match="install OpenSSH's client on this computer"):
        Connection("workstation")


def test_a_client_that_is_killed_leaves_no_process_there(loopback_host: LoopbackHost, tiny_model: Path) -> None:
    program = (
        "from ccella_core import CCELLAPipeline\n"
        f"pipeline = CCELLAPipeline.connect({ALIAS!r}, model={str(tiny_model)!r}, device='cpu')\n"
        f"pipeline('x', num_inference_steps={MANY_STEPS}, callback=lambda each: print('on', flush=True))"
    )
    client = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert client.stdout is not None and client.stdout.readline() == b"on\n"
    client.kill()
    client.wait()
    client.stdout.close()
    assert gone(loopback_host.workers) and gone(loopback_host.sessions)


@pytest.mark.slow
def test_killed_in_mid_run_it_says_so_and_leaves_nothing(loopback_host: LoopbackHost, tiny_model: Path) -> None:
    """By turns the client's ssh, the server's end of the connection, and the process there; loading and drawing."""
    params = {"report": REPORT, "model": str(tiny_model), "device": "cpu", "num_inference_steps": MANY_STEPS}
    sentences = []
    for number in range(KILLS):
        victims = (own_ssh, loopback_host.sessions, loopback_host.workers)[number % 3]
        stage = "denoise" if number < DRAWING_KILLS else "load"

        def at_its_stage(event: dict[str, Any], victims: Any = victims, stage: str = stage) -> None:
            if event.get("stage") == stage:
                kill(victims())

        with pytest.raises(RemoteError) as raised:
            Connection(ALIAS).request("generate", {**params, "count": 50}, at_its_stage)
        sentences.append(str(raised.value))
        assert gone(loopback_host.workers) and gone(loopback_host.sessions) and gone(own_ssh)
    lost = "The connection to workstation was lost, or the process there was ended. Try again: that connects anew."
    assert sentences == [lost] * KILLS
    assert loopback_host.left_behind() == []


def test_a_lost_connection_is_made_again_by_the_next_call(loopback_host: LoopbackHost, tiny_model: Path) -> None:
    with CCELLAPipeline.connect(ALIAS, model="no-such-model", device="cpu") as pipeline:
        for process in loopback_host.workers():
            process.kill()
        assert gone(own_ssh)
        with pytest.raises(ModelError, match="no-such-model"):  # says the new worker
            pipeline(REPORT)


ENOUGH = 5
COUNTING = f"""
import json, sys
from ccella_core.client.protocol import PROTOCOL_VERSION
def send(**message):
    print(json.dumps(message), flush=True)
send(event="ready", protocol=PROTOCOL_VERSION)
lines, request = [], None
while request is None or len(lines) < {ENOUGH}:
    line = sys.stdin.readline()
    if line.strip():
        request = json.loads(line)
    else:
        lines.append(line)
send(event="result", id=request["id"], value=dict(lines=lines[:{ENOUGH}]))
sys.stdin.read()
"""
SOON_SILENT = """
import functools
from ccella_core.worker import __main__ as worker
worker.Server = functools.partial(worker.Server, client_silence_seconds=1.0)
worker.main([])
"""


def _program(host: LoopbackHost, text: str) -> Path:
    """A file there, named so that it counts as the worker."""
    path = host.folder / "ccella_core"
    path.write_text(text)
    return path


def test_the_worker_there_ends_where_the_network_is_cut(loopback_host: LoopbackHost) -> None:
    """No packet comes from here any more and nobody hangs up, while the worker has nothing to do or to send."""
    loopback_host.install_ccella(sys.executable, _program(loopback_host, SOON_SILENT))
    connection = Connection(ALIAS)
    (ssh,) = own_ssh()
    ssh.suspend()
    assert gone(loopback_host.workers)
    assert loopback_host.sessions() and connection.alive  # it was not told by the end of the connection
    ssh.resume()
    assert gone(own_ssh)
    with pytest.raises(RemoteError, match=r"was lost|ended unexpectedly"):
        connection.request("describe", {})
    assert gone(loopback_host.sessions)


def test_signs_of_life_are_given_until_the_connection_is_closed(
    loopback_host: LoopbackHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_module, "SIGN_OF_LIFE_SECONDS", 0.01)
    loopback_host.install_ccella(sys.executable, _program(loopback_host, COUNTING))
    connection = Connection(ALIAS)
    assert connection.request("describe", {}) == {"lines": ["\n"] * ENOUGH}
    connection.close()
    assert gone(loopback_host.workers) and gone(own_ssh)


@pytest.mark.slow
def test_a_host_that_falls_silent_is_given_up(loopback_host: LoopbackHost) -> None:
    """No packet comes any more and nobody hangs up, as where a cable is pulled."""
    connection = Connection(ALIAS)
    for session in loopback_host.sessions():
        session.suspend()
    started = time.monotonic()
    with pytest.raises(RemoteError, match="The connection to workstation was lost"):
        connection.request("describe", {})
    assert time.monotonic() - started < SILENCE_SECONDS  # SSH has noticed it, before our own patience ended
    assert own_ssh() == []
