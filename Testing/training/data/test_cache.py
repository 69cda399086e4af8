"""The cache: what it holds, what it refuses, and that it goes on where it stopped."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from latent_cases import CHANNELS, LATENT_SHAPE, SPACING, FakeEncoder, FakePrepared, build, cached, tiny_autoencoder

from ccella_core.errors import InputError, SaveError
from ccella_core.training.data import cache, shards
from ccella_core.training.data.cached_cases import CachedCases
from ccella_core.training.data.mirror import mirrored_report


def mean_latent(prepared, case, *, flipped=False, sequence="t2w"):
    voxels = torch.from_numpy(prepared.voxels(case, sequence))
    with torch.inference_mode():
        return tiny_autoencoder().encode((voxels.flip(0) if flipped else voxels)[None, None])[0][0]


def test_it_holds_what_the_frozen_networks_say(tmp_path):
    prepared, encoder = FakePrepared(), FakeEncoder()
    cases = cached(tmp_path, prepared=prepared, encoder=encoder)
    assert len(cases) == 5 and cases.latent_shape == (CHANNELS, *LATENT_SHAPE)
    scale = cases.index.scale_factors[0]
    assert torch.cat([cases.latents([row]) for row in range(5)]).std() == pytest.approx(1, rel=2e-3)
    for row, case in enumerate(prepared.split("train")):
        torch.testing.assert_close(cases.latents([row])[0], scale * mean_latent(prepared, case), atol=5e-3, rtol=5e-3)
        for wording, report in enumerate(case.reports):
            torch.testing.assert_close(
                cases.text(row, wording), FakeEncoder().encode([report])[0], atol=2e-3, rtol=2e-3
            )
        assert torch.equal(cases.text(row, 2), cases.text(row, 0)), "wordings are counted over and again"
        assert bool(cases.positive[row]) == (case.pathology == "positive") == cases.rows[row].has_lesion
        assert cases.rows[row].fields == case.fields
    torch.testing.assert_close(cases.null_text, FakeEncoder().encode([""])[0], atol=2e-3, rtol=2e-3)
    assert cases.spacings.tolist() == [pytest.approx(SPACING)] * len(cases) and bool(cases.has_report.all())
    assert len(encoder.encoded) == 2 * 8 + 1, "each report once"
    gland, lesion = cases.regions([0, 1])
    assert gland[0, 0].sum() == 4 * 4 * 2 and not lesion[0].any() and lesion[1, 0].sum() == 1 and lesion[1, 0, 2, 2, 1]


def test_each_row_has_the_spacing_of_its_case(tmp_path):
    cases = cached(tmp_path, prepared=FakePrepared(spacings=True), mirror=True, shard_cases=4)
    expected = [(*SPACING[:2], SPACING[2] + int(row.id[4:])) for row in cases.rows]
    assert cases.spacings.tolist() == [pytest.approx(each) for each in expected] and len(set(expected)) == 5
    assert {row.mirrored for row in cases.rows} == {True, False}


def test_a_case_and_its_mirror_image(tmp_path):
    prepared = FakePrepared()
    cases = cached(tmp_path, prepared=prepared, mirror=True, shard_cases=4)
    assert [(row.id, row.mirrored) for row in cases.rows[:3]] == [("case0", False), ("case0", True), ("case1", False)]
    assert [shard.rows for shard in cases.index.shards["train"]] == [4, 4, 2]
    case = prepared.split("train")[1]
    expected = cases.index.scale_factors[0] * mean_latent(prepared, case, flipped=True)
    torch.testing.assert_close(cases.latents([3])[0], expected, atol=5e-3, rtol=5e-3)
    mirrored = FakeEncoder().encode([mirrored_report(case.reports[1])])[0]
    torch.testing.assert_close(cases.text(3, 1), mirrored, atol=2e-3, rtol=2e-3)
    assert cases.rows[3].fields.lesions[0].side != case.fields.lesions[0].side
    own, other = cases.regions([2, 3])[1]
    assert torch.equal(own.flip(1), other)


def test_several_sequences_are_stacked_and_scaled_each_by_its_own(tmp_path):
    prepared = FakePrepared()
    cases = cached(tmp_path, prepared=prepared, sequences=("t2w", "adc"))
    assert cases.latent_shape[0] == 2 * CHANNELS and len(cases.index.scale_factors) == 2
    case = prepared.split("train")[2]
    expected = cases.index.scale_factors[1] * mean_latent(prepared, case, sequence="adc")
    torch.testing.assert_close(cases.latents([2])[0, CHANNELS:], expected, atol=5e-3, rtol=5e-3)


def test_what_a_case_lacks_is_zeros_and_said_to_be_absent(tmp_path):
    prepared = FakePrepared(lacking=[("case1", "adc"), ("case2", "t2w"), ("case100", "adc")])
    cases = cached(tmp_path, prepared=prepared, sequences=("t2w", "adc"))
    assert cases.present.tolist() == [[True, True], [True, False], [False, True], [True, True], [True, True]]
    assert not cases.latents([1])[0, CHANNELS:].any() and not cases.latents([2])[0, :CHANNELS].any()
    there = torch.cat([cases.latents([row])[0, CHANNELS:] for row in (0, 2, 3, 4)])
    assert there.std() == pytest.approx(1, rel=2e-3), "those that are not there do not count"
    assert cases.channel_weight([0, 3]) is None
    assert cases.channel_weight([0, 1]).tolist() == [[1] * 4, [1, 1, 0, 0]]
    assert cases.channel_weight([0, 1], {"adc": 0.5}).tolist() == [[1, 1, 0.5, 0.5], [1, 1, 0, 0]]
    with pytest.raises(InputError, match="No training case in prepared has the hbv"):
        build(tmp_path / "none", FakePrepared(lacking=[(f"case{n}", "hbv") for n in range(5)]), sequences=("hbv",))


def test_labels_follow_the_sequences(tmp_path):
    prepared = FakePrepared(lacking=[("case3", "lesion")])
    cases = cached(tmp_path, prepared=prepared, labels=("gland", "lesion"), mirror=True)
    assert cases.index.parts == ("t2w", "gland", "lesion") and cases.latent_shape[0] == 3 * CHANNELS
    gland, lesion = (torch.from_numpy(mask.astype(np.float32)) for mask in prepared.regions(prepared.split("train")[1]))
    with torch.inference_mode():
        for number, mask in ((1, gland), (2, lesion)):
            expected = cases.index.scale_factors[number] * tiny_autoencoder().encode(mask[None, None])[0][0]
            found = cases.latents([2])[0, number * CHANNELS : (number + 1) * CHANNELS]
            torch.testing.assert_close(found, expected, atol=2e-2, rtol=5e-3)
    assert cases.present[6].tolist() == cases.present[7].tolist() == [True, True, False]
    # Case 3 has a lesion that nobody outlined, case 0 has none.
    assert [cases.rows[2 * case].has_lesion for case in (0, 1, 3)] == [False, True, None]


@pytest.mark.parametrize(("scale", "each"), [("sequence", 1), ("channel", CHANNELS)])
def test_masks_share_the_scale_of_the_commonest(tmp_path, scale, each):
    """A lesion at unit variance would be many times as strong as anything else."""
    both = cached(tmp_path / "both", labels=("gland", "lesion"), scale=scale).index.scale_factors
    gland = cached(tmp_path / "gland", labels=("gland",), scale=scale).index.scale_factors
    lesion = cached(tmp_path / "lesion", labels=("lesion",), scale=scale).index.scale_factors
    assert len(both) == 3 * each and both[: 2 * each] == gland and both[2 * each :] == gland[each:]
    assert lesion[each] > gland[each]


def test_one_scale_factor_a_channel(tmp_path):
    prepared = FakePrepared(lacking=[("case1", "adc")])
    cases = cached(tmp_path, prepared=prepared, sequences=("t2w", "adc"), scale="channel")
    assert len(cases.index.scale_factors) == 2 * CHANNELS
    latents = torch.cat([cases.latents([row]) for row in (0, 2, 3, 4)])
    spread = latents[:, CHANNELS:].transpose(0, 1).flatten(1).std(1)
    torch.testing.assert_close(spread, torch.ones(CHANNELS), atol=5e-3, rtol=0)


def test_random_copies_of_training_cases(tmp_path, monkeypatch):
    prepared, settings = FakePrepared(train=2, validation=1), {"copies": 3, "rotation": 10.0}
    cases = cached(tmp_path / "a", prepared=prepared, mirror=True, augment=settings, shard_cases=6)
    shown = [(row.mirrored, row.variation) for row in cases.rows if row.id == "case1"]
    assert shown == [(False, 0), (True, 0), (False, 1), (True, 2), (False, 3)]
    assert [shard.rows for shard in cases.index.shards["train"]] == [5, 5]
    assert len(CachedCases(tmp_path / "a", "validation")) == 2, "validation cases stay as they are"
    side = prepared.split("train")[1].fields.lesions[0].side
    assert [row.fields.lesions[0].side == side for row in cases.rows[5:]] == [True, False, True, False, True]
    again = cached(tmp_path / "b", prepared=prepared, mirror=True, augment=settings, shard_cases=6)
    rows = list(range(len(cases)))
    assert torch.equal(cases.latents(rows), again.latents(rows))
    assert (cases.latents([5]) - cases.latents([7])).abs().mean() > 0.1
    monkeypatch.setattr(cache, "COPYING", 1)
    with pytest.raises(InputError, match="making of copies was 2 and is 1"):
        cached(tmp_path / "b", prepared=prepared, mirror=True, augment=settings, shard_cases=6)
    prepared.shares = tuple(share.model_copy(update={"augment": False}) for share in prepared.shares)
    assert len(cached(tmp_path / "c", prepared=prepared, mirror=True, augment=settings)) == 4


def test_an_unknown_class_is_neither(tmp_path):
    prepared = FakePrepared()
    prepared.split("train")[0].pathology = prepared.split("train")[0].positive = None
    prepared.lacking.add(("case0", "lesion"))
    cases = cached(tmp_path, prepared=prepared)
    assert cases.rows[0].positive is None and cases.knows_class.tolist() == [False, True, True, True, True]
    assert cases.rows[0].has_lesion is None


def test_an_epoch_sees_cases_as_often_as_their_source_is_repeated(tmp_path):
    build(tmp_path)
    cases = CachedCases(tmp_path, "train", repeats=(3,))
    assert cases.epoch == [row for row in range(5) for _ in range(3)] and len(cases) == 5
    assert CachedCases(tmp_path, "train").epoch == [0, 1, 2, 3, 4]


def test_a_draw_is_not_the_mean_but_always_the_same(tmp_path):
    mean, draw, again = (
        cached(tmp_path / name, latents=latents).latents([1])
        for name, latents in (("mean", "mean"), ("draw", "draw"), ("again", "draw"))
    )
    assert torch.equal(draw, again) and not torch.allclose(draw, mean, atol=1e-2)


def test_it_is_made_once(tmp_path):
    build(tmp_path)
    encoder = FakeEncoder()
    build(tmp_path, encoder=encoder)
    assert not encoder.encoded


def test_a_stopped_run_goes_on_with_the_shards_that_are_missing(tmp_path, monkeypatch):
    whole = cached(tmp_path / "whole", shard_cases=2)
    written = []
    save = shards.save_tensors

    def die_at_the_third(tensors, header, path):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(path.name)
        save(tensors, header, path)

    with monkeypatch.context() as patch:
        patch.setattr(shards, "save_tensors", die_at_the_third)
        with pytest.raises(KeyboardInterrupt):
            build(tmp_path / "stopped", shard_cases=2)
    with pytest.raises(InputError, match="no finished cache"):
        CachedCases(tmp_path / "stopped", "train")
    encoder = FakeEncoder()
    cases = cached(tmp_path / "stopped", encoder=encoder, shard_cases=2)
    assert len(encoder.encoded) == 2 * 4 + 1, "two of four shards, and the null report"
    assert cases.rows == whole.rows and cases.index.scale_factors == whole.index.scale_factors
    assert torch.equal(cases.latents([0, 1, 2, 3, 4]), whole.latents([0, 1, 2, 3, 4]))


def test_a_cache_of_something_else_is_refused_with_the_difference(tmp_path):
    build(tmp_path)
    with pytest.raises(InputError, match=r"made from something else \(autoencoder was b and is c\)"):
        build(tmp_path, depends_on={"prepared cases": "a", "autoencoder": "c"})
    with pytest.raises(InputError, match=r"mirror was False and is True"):
        build(tmp_path, mirror=True)
    (tmp_path / "cache.json").unlink()
    with pytest.raises(InputError, match=r"latents was mean and is draw"):
        build(tmp_path, latents="draw")


def test_a_damaged_shard_is_named(tmp_path):
    build(tmp_path)
    path = tmp_path / "train-00000.safetensors"
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"train-00000\.safetensors was damaged or altered"):
        CachedCases(tmp_path, "train")
    path.write_bytes(content[:100])
    with pytest.raises(InputError, match=r"train-00000\.safetensors is missing or damaged"):
        CachedCases(tmp_path, "train", verify=False)
    path.unlink()
    with pytest.raises(InputError, match=r"train-00000\.safetensors is missing or damaged"):
        CachedCases(tmp_path, "train")
    (tmp_path / "cache.json").write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match="is not a cache that this version reads"):
        CachedCases(tmp_path, "train")


def test_without_text_there_is_none(tmp_path):
    cases = cached(tmp_path, text=False)
    assert cases.null_text is None and not cases.has_report.any()


def test_without_masks_there_are_no_regions(tmp_path):
    cases = cached(tmp_path, prepared=FakePrepared(masks=False))
    with pytest.raises(InputError, match="needs masks of them for every case"):
        cases.regions([0])


def test_an_odd_case_is_left_out_by_name(tmp_path, monkeypatch, caplog):
    """One that is not finite, one that cannot be read, and one whose report the encoder does not take."""
    prepared, encoder = FakePrepared(), FakeEncoder()
    whole, encode = prepared.voxels, encoder.encode

    def voxels(case, sequence):
        if case.id == "case101":
            raise InputError("volumes/case101_t2w.nii.gz is damaged.")
        return np.full((16, 16, 8), np.nan, np.float32) if case.id == "case1" else whole(case, sequence)

    def strict(reports):
        if any("odd" in report for report in reports):
            raise InputError("The report cannot be encoded.")
        return encode(reports)

    monkeypatch.setattr(prepared, "voxels", voxels)
    monkeypatch.setattr(encoder, "encode", strict)
    prepared.split("train")[3].reports = ("fine", "odd")
    index = build(tmp_path, prepared, encoder=encoder, shard_cases=2)
    assert index.left_out == {
        "case1": "In half precision the latent of case1 is not finite; it cannot be cached.",
        "case3": "The report cannot be encoded.",
        "case101": "volumes/case101_t2w.nii.gz is damaged.",
    }
    assert [row.id for row in CachedCases(tmp_path, "train").rows] == ["case0", "case2", "case4"]
    assert "case1 is left out: In half precision" in caplog.text
    assert build(tmp_path, prepared, shard_cases=2).left_out == index.left_out, (
        "it is said again when the cache is found"
    )
    alone = FakePrepared(train=2, validation=0)
    monkeypatch.setattr(alone, "voxels", lambda case, sequence: np.full((16, 16, 8), np.nan, np.float32))
    with pytest.raises(InputError, match="None of the training cases can be used"):
        build(tmp_path / "none", alone)


def test_a_case_whose_sides_are_not_sure_has_no_mirror_image(tmp_path, caplog):
    prepared = FakePrepared(train=3, validation=0)
    prepared.split("train")[1].reports = ("RT was given.",)
    prepared.split("train")[2].reports = ("Herd links.", "Focus in the left apex.")
    cases = cached(tmp_path, prepared=prepared, mirror=True)
    assert [(row.id, row.mirrored) for row in cases.rows if row.id != "case0"] == [
        ("case1", False), ("case2", False), ("case2", True),
    ]  # fmt: skip
    assert len(cases.rows[-1].reports) == 1, "the wording that can be mirrored"
    assert "1 of 3 cases have no mirror image" in caplog.text and "case1" in caplog.text


def test_only_a_few_cases_are_read_ahead(tmp_path, monkeypatch):
    """What was read and is not yet encoded lies in memory."""
    prepared = FakePrepared(train=12, validation=1)
    whole, read, most = prepared.voxels, [], []
    encode = shards.ShardWriter._latent

    def voxels(case, sequence):
        read.append(case.id)
        return whole(case, sequence)

    def latent(self, case, row, scan):
        most.append(len(read) - len(most))
        return encode(self, case, row, scan)

    monkeypatch.setattr(prepared, "voxels", voxels)
    monkeypatch.setattr(shards.ShardWriter, "_latent", latent)
    cases = cached(tmp_path, prepared=prepared)
    assert max(most) <= 1 + shards.READ_AHEAD and sorted(read) == sorted(set(read)), "each once"
    assert [row.id for row in cases.rows] == [case.id for case in prepared.split("train")]


def test_no_training_cases_and_a_full_disk_are_explained(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="There are no training cases in prepared"):
        build(tmp_path, FakePrepared(train=0))

    def no_room(*_, **__):
        raise OSError("No space left on device")

    monkeypatch.setattr(shards, "save_file", no_room)
    with pytest.raises(SaveError, match=r"No space left on device. What is finished stays"):
        build(tmp_path)
