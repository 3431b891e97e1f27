"""The recipes of the starter zoo: complete, consistent, and of sources that may be shipped."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from benchmarks.leave_out import excluded, open_zoo
from benchmarks.transfer_plan import TARGETS
from snt_zoo.networks.spaces import get_space
from snt_zoo.search.bilevel import check_recipe
from snt_zoo.search.pretrain import recipe_for
from snt_zoo.zoo import Zoo
from tests.conftest import SAMPLES
from tests.data.making import write_class_folders
from zoo.build import PACKS, build, choose, main, summary
from zoo.folds import FOLDS, fold_recipes, original, stand_ins
from zoo.recipe import ZooRecipe, read_recipes
from zoo.sources import RECIPES, left_out, read_sources, related, targets

ALL = read_recipes()


def test_every_recipe_can_be_followed() -> None:
    assert {recipe.name for recipe in ALL} == {path.stem for path in RECIPES.glob("*.json")}
    for recipe in ALL:
        space = get_space(recipe.space, **recipe.hyperparameters)
        check_recipe(recipe_for(space, pretrained=recipe.init is not None).override(recipe.training))
        for row in recipe.rows:
            assert row.role == "source" and row.may_ship, (recipe.name, row.dataset)
            assert row.source and row.licence and row.attribution
        assert ("generalist" in recipe.tags) == (len(recipe.sources) > 1)


def test_each_source_has_a_supernet_and_there_are_enough() -> None:
    alone = {r.sources[0] for r in ALL if len(r.sources) == 1 and r.space == "nas_bench_201"}
    assert alone == {row.dataset for row in read_sources().values() if row.role == "source"}
    assert len(alone) >= 28
    small = {r.sources[0] for r in ALL if len(r.sources) == 1 and r.input_size is None}
    by_name = {recipe.name: recipe for recipe in ALL}
    assert set(by_name["nb201-generalist-all"].sources) == small & alone


def test_it_can_be_built_on_two_cores_in_about_160_minutes() -> None:
    assert sum(recipe.expected_seconds for recipe in ALL) < 19_000
    assert [recipe.expected_seconds for recipe in ALL] == sorted(
        (recipe.expected_seconds for recipe in ALL), reverse=True
    )


def test_there_are_targets_of_every_domain_with_candidates_that_are_no_relatives() -> None:
    found = targets()
    assert len(found) >= 12
    seen = {row.domain for recipe in ALL if recipe.input_size is None for row in recipe.rows}
    assert {target.domain for target in found} >= seen
    names = {recipe.name for recipe in ALL}
    for target in found:
        gone = set(left_out(target.dataset))
        assert gone <= names and len(names - gone) >= 20
        assert any("generalist" in name for name in names - gone), target.dataset


def test_relatives() -> None:
    rows = read_sources()
    greek, khmer, latin = rows["font_greek_lower"], rows["font_khmer"], rows["font_latin_upper"]
    assert related(greek, rows["font_greek_upper"]) and not related(greek, latin)
    assert related(khmer, latin, level="family") and not related(khmer, latin)
    assert related(rows["digits8"], rows["mnist10k"]) and related(rows["digits8"], rows["font_digits"])
    assert not related(rows["digits8"], rows["mnist10k"], level="dataset")
    for one in rows.values():  # stricter levels leave out more, and a dataset itself always
        for other in rows.values():
            levels = [related(one, other, level=level) for level in ("dataset", "parent", "family")]
            assert levels == sorted(levels) and (one is not other or levels[0])
            assert related(one, other) == related(other, one)
    assert "nb201-generalist-all" in left_out("emoji_category")
    assert "nb201-generalist-icons" not in left_out("emoji_category")
    assert left_out("natural8") == []


def test_a_target_that_a_generalist_saw_has_one_that_did_not() -> None:
    sources, recipes = read_sources(), {recipe.name: recipe for recipe in ALL}
    folds = {recipe.name: recipe for recipe in fold_recipes()}
    assert len({target for fold in FOLDS.values() for target in fold}) == sum(map(len, FOLDS.values()))
    for target in TARGETS:
        found = stand_ins(target)
        gone = {n for n in left_out(target) if n.startswith("nb201-generalist")}
        assert {original(name) for name in found} == gone and set(found) <= set(folds), target
        for name in found:
            reduced = folds[name]
            names = reduced.sources
            assert not any(related(sources[target], sources[name]) for name in names)
            # As the zoo's in all but what was left out.
            whole = recipes[original(name)]
            assert len(names) > 1 and reduced.epochs == whole.epochs and reduced.tags == whole.tags
            assert reduced.training == whole.training and reduced.expected_seconds < whole.expected_seconds
    assert stand_ins("natural8") == [] and original("nb201-font-thai") == "nb201-font-thai"


def test_who_may_not_answer_is_told_by_id(tmp_path: Path) -> None:
    """A name would leave out the stand-in as well, whose id begins with it."""
    names = ["nb201-generalist-all", "nb201-generalist-icons", *(recipe.name for recipe in fold_recipes())]
    records = [SimpleNamespace(name=name, id=f"{name}-0a1b2c3d") for name in names]
    zoo = cast(Zoo, SimpleNamespace(list=lambda: records))
    gone = excluded(zoo, "emoji_category")
    kept = {name for name in names if not any(f"{name}-0a1b2c3d".startswith(id) for id in gone)}
    stood_in = {"nb201-generalist-all-fold-a", "nb201-generalist-pictures-fold-a"}
    assert kept == {"nb201-generalist-icons", *stood_in}
    assert {id.removesuffix("-0a1b2c3d") for id in excluded(zoo, "natural8")} == set(names[2:])
    with pytest.raises(FileNotFoundError, match=r"build it by python -m zoo\.build .* --folds a b"):
        open_zoo(tmp_path / "home", tmp_path)


def test_a_recipe_is_built_once_and_told_in_the_table(tmp_path: Path) -> None:
    recipe = ZooRecipe(
        name="both",
        description="Two.",
        sources=["icon_files", "stamps"],
        tags=["generalist"],
        epochs=50,
        expected_seconds=1,
        hyperparameters={"channels": 2, "stem_stride": 2},
    )
    write_class_folders(tmp_path / "more/sources/stamps", ("bird", "coin"))
    data = [SAMPLES, tmp_path / "more"]
    row = build(recipe, data=data, out=tmp_path, threads=1, epochs=1)
    assert (row["sources"], row["epochs"]) == (2, 1)
    config = json.loads((tmp_path / "both" / "config.json").read_text("utf-8"))
    assert config["dtype"] == "float16" and len(config["network"]["heads"]) == 2
    card = (tmp_path / "both/README.md").read_text("utf-8")
    assert "Attribution for stamps: Tux Paint stamps, Copyright Bill Kendrick and contributors, GPL-2" in card
    assert "trained on images under: per icon set" in card and "; GPL-2" in card
    again = build(recipe, data=data, out=tmp_path, threads=1)
    assert again["digest"] == row["digest"] and again["epochs"] == 1  # it was there
    table = summary([row])
    assert "both" in table and f"{row['megabytes']:.1f} MB in all" in table


def test_a_training_that_fails_is_told_at_once_and_stops_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "icon_files.npz").write_bytes(b"no archive")
    shutil.copy(SAMPLES / "textile_sim.npz", tmp_path)
    words = ["--data", str(tmp_path), "--out", str(tmp_path / "out"), "--epochs", "1"]
    names = ["--only", "nb201-icon-files", "--only", "nb201-textile-sim"]
    monkeypatch.setattr(sys, "argv", ["zoo.build", *words, *names])
    with pytest.raises(SystemExit, match="1 trainings failed: nb201-icon-files"):
        main()
    told = capfd.readouterr()
    assert "failed: nb201-icon-files: UnknownFormatError" in told.err
    assert "nb201-textile-sim" in told.out and (tmp_path / "out/nb201-textile-sim/manifest.json").is_file()


def test_no_such_recipe() -> None:
    with pytest.raises(SystemExit, match="no recipe named nothing"):
        choose(ALL, ["nothing"])
    assert choose(ALL, []) == ALL and [r.name for r in choose(ALL, ["nb201-textile-sim"])] == [
        "nb201-textile-sim"
    ]


def test_a_pack_is_built_by_its_own_recipes(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """Each is of a pack with a folder, and the second package's is not built with the first."""
    assert {recipe.pack for recipe in ALL} == set(PACKS)
    assert all((folder.parent / "__init__.py").is_file() for folder in PACKS.values())
    other = next(recipe for recipe in ALL if recipe.pack == "pictures" and len(recipe.sources) == 1)
    monkeypatch.setattr(sys, "argv", ["zoo.build", "--data", "nowhere", "--only", other.name])
    with pytest.raises(SystemExit, match=f"no recipe named {other.name}"):
        main()
    monkeypatch.setattr(sys, "argv", [*sys.argv, "--pack", "pictures"])
    with pytest.raises(SystemExit):
        main()
    assert f"nowhere lacks {other.sources[0]} (1 of 1): name its folder too" in capsys.readouterr().err


def test_the_generalist_of_pictures_saw_all_that_are_seen_at_its_size() -> None:
    by_name = {recipe.name: recipe for recipe in ALL}
    alone = {r.sources[0] for r in ALL if len(r.sources) == 1 and r.input_size == 64}
    everything = by_name["nb201-pictures-all"]
    assert everything.input_size == 64 and set(everything.sources) > alone
    assert everything.name not in {original(recipe.name) for recipe in fold_recipes()}
