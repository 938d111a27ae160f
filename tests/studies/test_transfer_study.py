"""The study on made-up tables: what the choice may see, and that numbers are those of evaluate."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import tables as printed_tables
from pyattrx import evaluate
from pyattrx.errors import PyattrxError
from pyattrx.methods import RECOMMENDED, NormalizedRidge
from studies.cli import main
from studies.minitaskonomy import tasks
from studies.transfer import across, methods, scores, study, table, trees, truth
from studies.transfer import networks as sets

RESULTS = Path(__file__).parents[2] / "studies" / "results" / "transfer"
NETWORKS = (*tasks.TASKS, "untrained")


def write_truth(root, seed, losses, architecture="residual", sources=NETWORKS):
    file = truth.truth_folder(root, f"{architecture}-seed{seed}") / "losses.csv"
    rows = [
        (target, source, decoder, f"{losses[t, s, decoder]:.6g}")
        for t, target in enumerate(tasks.TARGETS)
        for s, source in enumerate(sources)
        for decoder in range(losses.shape[2])
    ]
    truth._write(file, ("target", "source", "decoder", "loss"), rows)


def write_scores(root, seed, rng, losses):
    """Scores that follow the truth more or less, by method."""
    goodness = np.zeros((len(NETWORKS), len(NETWORKS)))
    places = [NETWORKS.index(target) for target in tasks.TARGETS]
    goodness[places] = -losses.mean(2)
    for probes in study.PROBE_SETS:
        for number, name in enumerate(methods.BASE):
            noise = rng.normal(size=goodness.shape) * (0.2 + number / 10)
            for count in (None, *(scores.COUNTS if name in methods.FEWER_PROBES else ())):
                file = scores.score_file(root, f"residual-seed{seed}", probes, name, count)
                scores.write_scores(file, goodness + noise, NETWORKS)


def write_blocks(root, run, rng, names):
    """Scores of the methods in `JUDGED` if they are missing, and without each of four blocks."""
    blocks = np.arange(20) % 4
    for probes in study.PROBE_SETS:
        for name in methods.JUDGED:
            file = scores.score_file(root, run, probes, name)
            if not file.is_file():
                scores.write_scores(file, rng.normal(size=(len(names), len(names))), names)
            values = scores.read_scores(file, names)
            without = values + 0.1 * rng.normal(size=(4, *values.shape))
            made = scores.Scores(values, without)
            scores.write_blocks(scores.blocks_file(root, run, probes, name), made, blocks)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    rng = np.random.default_rng(0)
    common = rng.normal(size=(18, 21, 1))
    for seed in (0, 1):
        losses = (
            3 + common + 0.3 * rng.normal(size=(18, 21, 1)) + 0.1 * rng.normal(size=(18, 21, 3))
        )
        write_truth(folder, seed, losses)
        write_scores(folder, seed, rng, losses)
        write_blocks(folder, f"residual-seed{seed}", rng, NETWORKS)
    both = sets.both_architectures(0)
    write_blocks(folder, both.run, rng, both.labels)
    write_truth(folder, 0, rng.random((18, 8, 3)), "mixer", sets.MIXERS)
    return folder


@pytest.fixture(scope="module")
def made(root):
    return study.Study(root)


@pytest.fixture(scope="module")
def found(made):
    return table.document(made)


def test_half_of_the_targets_and_seed_0_choose():
    assert len(study.CHOSEN_ON) == len(study.HELD_OUT) == 9
    assert set(study.CHOSEN_ON) | set(study.HELD_OUT) == set(tasks.TARGETS)


def test_the_choice_sees_nothing_else(root, made, tmp_path):
    rng = np.random.default_rng(1)
    for seed in (0, 1):
        kept = truth.read_truth(root, f"residual-seed{seed}").losses.copy()
        hidden = [tasks.TARGETS.index(t) for t in study.HELD_OUT] if seed == 0 else range(18)
        kept[list(hidden)] = rng.random((len(hidden), 21, 3))
        write_truth(tmp_path, seed, kept)
        rows = [NETWORKS.index(t) for t in (study.HELD_OUT if seed == 0 else NETWORKS)]
        for probes in study.PROBE_SETS:
            for name in methods.BASE:
                place = (f"residual-seed{seed}", probes, name)
                values = scores.read_scores(scores.score_file(root, *place), NETWORKS)
                values[rows] = rng.random((len(rows), 21))
                scores.write_scores(scores.score_file(tmp_path, *place), values, NETWORKS)
    other = study.Study(tmp_path)
    assert study.choose(other) == study.choose(made)


def test_a_term_more_has_to_be_worth_it(made):
    name = next(n for n in methods.CANDIDATES if n.count(" + ") == 2 and "depara" not in n)
    expected = -0.04
    for probes in study.PROBE_SETS:
        ((affinity, measured),) = made.runs(name, probes, study.CHOSEN_ON, [0])
        expected += evaluate.spearman(affinity, measured) / 2
        expected += evaluate.precision_at_k(affinity, measured, 5) / 2
    assert study.criterion(made, name) == pytest.approx(expected)


def test_sums_are_those_of_the_package(made):
    candidate = methods.CANDIDATES["rsa + ridge"]
    own = [
        scores.read_scores(
            scores.score_file(made.root, "residual-seed1", "photos", name), tuple(tasks.TASKS)
        )
        for name in ("rsa", "ridge")
    ]
    expected = candidate.method.combine(own)
    np.testing.assert_array_equal(made.affinity(candidate, 1, "photos").values, expected)
    assert made.affinity(methods.CANDIDATES["svcca"], 0, "photos").sources == tuple(tasks.TASKS)


def test_intervals_are_over_probes_where_blocks_are_kept(made, found):
    candidate = methods.CANDIDATES["rsa + ridge"]
    whole = made.affinity(candidate, 1, "photos")
    assert whole.without.shape == (4, 20, 20)
    parts = []
    for name in candidate.terms:
        file = scores.blocks_file(made.root, "residual-seed1", "photos", name)
        values = scores.read_scores(file.with_name(f"{name}.csv"), tuple(tasks.TASKS))
        parts.append(values - scores.read_blocks(file, NETWORKS, tuple(tasks.TASKS))[0])
    np.testing.assert_array_equal(whole.without, candidate.method.combine(parts))
    assert made.affinity(methods.CANDIDATES["ridge_code"], 0, "photos").without is None
    assert made.knows_probes("rsa + ridge")
    assert not made.knows_probes("ridge_code")
    assert "rsa" in found["over_probes"]
    assert "ridge_code" not in found["over_probes"]
    probed = found["methods"]["rsa"]["photos"]["spearman"]
    runs = [(table.values, measured) for table, measured in made.runs("rsa", "photos")]
    plain = evaluate.bootstrap(evaluate.spearman, [
        (measured.with_values(values), measured) for values, measured in runs
    ])  # fmt: skip
    assert probed["value"] == pytest.approx(plain.value)
    assert (probed["low"], probed["high"]) != (plain.low, plain.high)


def test_blocks_come_back_in_half_precision(tmp_path):
    rng = np.random.default_rng(3)
    values = rng.normal(size=(3, 3))
    without = values + 1e-3 * rng.normal(size=(5, 3, 3))
    file = tmp_path / "x.blocks.npz"
    scores.write_blocks(file, scores.Scores(values, without), np.arange(10) % 5)
    less, blocks = scores.read_blocks(file, "abc", "ca")
    np.testing.assert_allclose(less, (values - without)[:, [2, 0]][:, :, [2, 0]], rtol=1e-3)
    assert blocks.tolist() == [0, 1, 2, 3, 4] * 2


class TestAcrossArchitectures:
    def test_who_is_compared(self, made):
        found = across.Across(made)
        assert found.seeds == [0]
        conditions = across.CONDITIONS
        for title, targets, sources in (
            ("target and sources residual", 8, 20),
            ("target mixer, sources residual", 8, 20),
            ("target residual, sources both", 18, 28),
            ("target mixer, sources both", 8, 28),
        ):
            ((scored, measured),) = found.runs("rsa", "photos", conditions[title])
            assert scored.values.shape == measured.values.shape == (targets, sources)
            assert scored.without is not None
        ((one, truth_one),) = found.runs("rsa", "photos", conditions["target and sources residual"])
        ((two, truth_two),) = found.runs(
            "rsa", "photos", conditions["target mixer, sources residual"]
        )
        np.testing.assert_array_equal(truth_one.values, truth_two.values)
        assert one.targets == two.targets == sets.MIXERS
        assert (one.values != two.values).all()
        whole = evaluate.read_table(scores.score_file(made.root, "both-seed0", "photos", "rsa"))
        row = whole.targets.index("edge2d@mixer")
        np.testing.assert_array_equal(
            two.values[two.targets.index("edge2d")], whole.values[row, :20]
        )

    def test_networks_of_the_targets_own_task_are_no_candidates(self, made):
        for title in ("target residual, sources both", "target mixer, sources both"):
            ((_, measured),) = across.Across(made).runs("rsa", "photos", across.CONDITIONS[title])
            row = measured.values[measured.targets.index("edge2d")]
            no_candidates = {s for s, value in zip(measured.sources, row, strict=True)
                             if np.isnan(value)}  # fmt: skip
            assert no_candidates == {"edge2d", "edge2d@mixer"}

    def test_the_truth_of_mixers_is_theirs(self, made):
        losses = truth.read_truth(made.root, "mixer-seed0").losses
        whole = across.Across(made).truths[0]
        np.testing.assert_allclose(whole.values[:, 20:], -losses.mean(2))
        np.testing.assert_allclose(whole.values[:, :20], made.truths[0].table.values)

    def test_the_share_of_mixers(self, made):
        sources = ("a", "b", "c", "d", "e@mixer", "f@mixer", "g@mixer")
        measured = evaluate.Table([[6, 5, 4, 3, 2, 1, np.nan]], ("t",), sources)
        scored = evaluate.Table([[1, 2, 3, 4, 5, 6, 7]], ("t",), sources)
        shares = across.Across(made).mixers_first([(scored, measured)])
        assert shares == {"method": pytest.approx(0.4), "truth": pytest.approx(0.2)}

    def test_in_the_document(self, made, found):
        part_ = found["across"]
        assert part_["seeds"] == [0]
        assert set(part_["conditions"]) == set(across.CONDITIONS)
        of_both = part_["conditions"]["target residual, sources both"]
        assert set(of_both["baselines"]) == {"random", "family only", "source popularity"}
        runs = across.Across(made).runs(
            "ridge", "rendered", across.CONDITIONS["target residual, sources both"]
        )
        value = of_both["methods"]["ridge"]["rendered"]["spearman"]["value"]
        assert value == pytest.approx(np.mean([evaluate.spearman(a, t) for a, t in runs]))
        assert -1 <= part_["agreement"] <= 1


def test_numbers_are_those_of_evaluate(made, found):
    values = found["methods"]["rsa"]["rendered"]
    expected = [evaluate.spearman(a, t) for a, t in made.runs("rsa", "rendered")]
    assert values["spearman"]["value"] == pytest.approx(np.mean(expected))
    expected = [evaluate.precision_at_k(a, t, 3) for a, t in made.runs("rsa", "rendered")]
    assert values["P@3"]["value"] == pytest.approx(np.mean(expected))
    expected = [evaluate.regret_at_k(a, t, 3) for a, t in made.runs("rsa", "rendered")]
    assert values["regret@3"]["value"] == pytest.approx(np.mean(expected))
    assert values["P@3"]["low"] < values["P@3"]["value"] < values["P@3"]["high"]
    assert found["choice"][0]["method"] == study.choose(made)[0][0]
    assert found["seeds"] == [0, 1]


def test_a_table_shows_the_measures_that_it_is_headed_by(found):
    name = found["choice"][0]["method"]
    shown = {"methods": {name: found["methods"][name]}, "baselines": {}}
    for measures in (study.MEASURES, study.COSTS):
        made_ = table._table("a title", shown, measures)
        headers = [column.header.split("\n") for column in made_.columns[1:]]
        assert headers == [[p, m] for p in study.PROBE_SETS for m in measures]
        for (probes, measure), column in zip(headers, made_.columns[1:], strict=True):
            value = found["methods"][name][probes][measure]
            assert list(column.cells) == [table._cell(value)]


@pytest.mark.parametrize(
    ("value", "sign", "shown"),
    [
        (0.5, "", ".50"),
        (-0.5, "", "-.50"),
        (0.5, "+", "+.50"),
        (1, "", "1.00"),
        (10.25, "", "10.25"),
    ],
)
def test_a_cell_leaves_out_the_zero_before_the_point(value, sign, shown):
    assert table._cell({"value": value, "low": None, "high": None}, sign) == shown


def test_long_names_are_shown_to_their_ends(capsys):
    names = ["perturbation_response_code_window3", "perturbation_response_code_window5"]
    made_ = printed_tables.new_table("method", *(f">number {i}" for i in range(12)))
    for name in names:
        made_.add_row(name, *["0.123456"] * 12)
    printed_tables.console().print(made_)
    first = [line.split("│")[1].strip() for line in capsys.readouterr().out.splitlines()
             if "│" in line]  # fmt: skip
    assert "".join(first) == "".join(names)


def test_baselines_and_ceilings(made, found):
    base = found["baselines"]
    assert base["random"]["spearman"]["value"] == 0
    assert base["random"]["P@5"]["value"] == pytest.approx(5 / 19)
    first, second = made.truths[0].table, made.truths[1].table
    expected = (evaluate.spearman(first, second) + evaluate.spearman(second, first)) / 2
    assert base["other encoders (ceiling)"]["spearman"]["value"] == pytest.approx(expected)
    losses = made.truths[0].losses
    pair = evaluate.spearman(-losses[:, :, 2], -losses[:, :, :2].mean(2))
    assert pair == pytest.approx(
        evaluate.spearman(*(t.values for t in made.baselines(seeds=[0])["retest (ceiling)"][2])),
        abs=0.02,  # names tell own columns here
    )
    assert base["retest (ceiling)"]["spearman"]["value"] > 0.9
    assert set(made.baselines(seeds=[0])) == set(base) - {"other encoders (ceiling)"}


def test_held_out_parts(made, found):
    parts = found["held_out"]
    expected = {
        "other targets": (study.HELD_OUT, [0, 1]),
        "other encoders": (tasks.TARGETS, [1]),
        "other targets of other encoders": (study.HELD_OUT, [1]),
    }
    assert list(parts) == list(expected)
    for part_, (targets, seeds) in expected.items():
        runs = made.runs("ridge", "photos", targets, seeds)
        value = np.mean([evaluate.spearman(a, t) for a, t in runs])
        assert parts[part_]["methods"]["ridge"]["photos"]["spearman"]["value"] == pytest.approx(
            value
        )
        chosen = parts[part_]["methods"][found["choice"][0]["method"]]["photos"]
        less = parts[part_]["chosen_less"]["photos"]
        if "ridge" in less:
            expected = chosen["spearman"]["value"] - value
            assert less["ridge"]["spearman"]["value"] == pytest.approx(expected)


def test_a_zoo_finds_the_nearest_and_puts_them_in_order(made):
    for finalists in (1, 4, 19):
        found = study.rerank(made.runs("rsa", "photos"), made.runs("ridge", "photos"), finalists)
        for (mixed, measured), (near, _), (order, _) in zip(
            found, made.runs("rsa", "photos"), made.runs("ridge", "photos"), strict=True
        ):
            row = measured.targets.index("edge2d")
            others = [i for i, name in enumerate(measured.sources) if name != "edge2d"]
            by = {kind: [others[i] for i in np.argsort(-t.values[row, others])]
                  for kind, t in (("near", near), ("order", order), ("both", mixed))}  # fmt: skip
            first = set(by["near"][:finalists])
            assert by["both"][:finalists] == [i for i in by["order"] if i in first]
            assert by["both"][finalists:] == by["near"][finalists:]


def test_runs_that_share_transfers_give_no_interval(found):
    retest = found["baselines"]["retest (ceiling)"]["spearman"]
    assert (retest["low"], retest["high"]) == (None, None)
    assert found["baselines"]["source popularity"]["spearman"]["low"] is not None


def test_trees(made, found):
    assert found["trees"]["ground truth"][""]["cophenetic"] == pytest.approx(1)
    same = trees.tree_of([made.truths[0].table])
    assert set(same.names) == set(tasks.TARGETS)
    assert trees.agreement(same, same)["cophenetic"] == pytest.approx(1)


def test_fitted_targets_are_judged_where_they_are(made, root):
    assert made.fitted("rsa + ridge", "photos") == []
    rng = np.random.default_rng(2)
    for name in ("rsa", "ridge"):
        file = scores.score_file(root, scores.fitted_run(1), "photos", name)
        scores.write_scores(file, rng.normal(size=(18, 20)), tasks.TARGETS, tuple(tasks.TASKS))
    (run,) = made.fitted("rsa", "photos")
    np.testing.assert_allclose(
        run[0].values,
        evaluate.read_table(scores.score_file(root, scores.fitted_run(1), "photos", "rsa")).values,
    )
    ((both, measured),) = made.fitted("rsa + ridge", "photos")
    assert measured.targets == both.targets == tasks.TARGETS
    own = both.own
    np.testing.assert_allclose(np.where(own, 0, both.values).sum(1), 0, atol=1e-9)


def test_the_control_is_placed(made):
    places = made.control("saliency", "rendered")
    assert 1 <= places["score"] <= 20
    assert 1 <= places["truth"] <= 20


def studies(*arguments):
    with pytest.raises(SystemExit) as stop:
        main([str(a) for a in arguments])
    return stop.value.code or 0


def test_command_line(root, tmp_path, capsys, found):
    assert studies("transfer", "--results", root, "--json", "--pictures", tmp_path / "drawn") == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["benchmark"] == "transfer"
    assert [file.rpartition("/")[2] for file in printed["files"]] == [
        "precision_rendered.png", "precision_photos.png", "trees.png",
    ]  # fmt: skip
    assert all((tmp_path / "drawn" / f.name).stat().st_size > 10_000
               for f in (tmp_path / "drawn").iterdir())  # fmt: skip
    table.show(found)
    out = capsys.readouterr().out
    assert "perturbation_response" in out
    assert "No say in the choice: other encoders, seeds [1]" in out
    assert "Across architectures: target mixer, sources residual, seeds [0]" in out
    assert "What is lost" in out
    assert studies("transfer", "--results", tmp_path) == 1
    assert "no seed 0 with transfers and all scores" in capsys.readouterr().err


def test_without_the_seed_that_chooses_there_is_no_study(root, tmp_path):
    for kind in ("truth", "scores"):
        shutil.copytree(root / kind / "residual-seed1", tmp_path / kind / "residual-seed1")
    with pytest.raises(PyattrxError, match="no seed 0 with transfers and all scores"):
        table.document(study.Study(tmp_path))


def test_blocks_that_do_not_fit_are_refused(tmp_path):
    made = scores.Scores(np.zeros((2, 2)), np.full((3, 2, 2), 200.0))
    with pytest.raises(PyattrxError, match="change too much"):
        scores.write_blocks(tmp_path / "x.npz", made, np.arange(3))
    assert not list(tmp_path.iterdir())


def test_without_the_control_it_is_left_out(root, tmp_path):
    shutil.copytree(root, tmp_path / "results")
    for seed in (0, 1):
        file = truth.truth_folder(tmp_path / "results", f"residual-seed{seed}") / "losses.csv"
        lines = file.read_text().splitlines(keepends=True)
        file.write_text("".join(line for line in lines if ",untrained," not in line))
    assert not study.Study(tmp_path / "results").has_control
    assert study.Study(root).has_control


def test_a_missing_loss_is_named(root, tmp_path):
    file = truth.truth_folder(tmp_path, "residual-seed0") / "losses.csv"
    lines = (truth.truth_folder(root, "residual-seed0") / "losses.csv").read_text().splitlines()
    file.parent.mkdir(parents=True)
    file.write_text("\n".join(lines[:-1]) + "\n")
    with pytest.raises(PyattrxError, match="a loss is missing"):
        truth.read_truth(tmp_path, "residual-seed0")
    with pytest.raises(PyattrxError, match="no transfers from residual-seed7"):
        truth.read_truth(tmp_path, "residual-seed7")


@pytest.mark.skipif(not RESULTS.is_dir(), reason="the sources are not here")
def test_recommended_is_what_the_committed_results_choose():
    chosen = study.choose(study.Study(RESULTS))[0][0]
    found = methods.CANDIDATES[chosen].method
    assert isinstance(found, NormalizedRidge)
    # Its penalty was chosen on published networks: docs/evidence-details.md.
    assert replace(found, penalty=RECOMMENDED.penalty) == RECOMMENDED
