"""What a recovery says of the uniqueness of its data: proofs with their scope, evidence, witnesses, and doubt in every other case."""

import json

import numpy as np
import pytest
from support.marks import alone, slow
from support.oracles import random_network, system_of

import identify as idf
from identify.problem.precision import LARGEST, Precision, Source, format_of
from identify.problem.rank import Spectrum
from identify.problem.uniqueness import UniquenessReason, UniquenessStatus
from identify.recovery import judging
from identify.recovery.solution import Failure, Family, NotDeterminedError, ResidualError

CUBIC = "z + z^2/2 + z^3"


def size(d: int, n: int, m: int, activation: str = CUBIC, **options) -> idf.Configuration:
    return idf.Configuration(inputs=d, samples=n, width=m, activation=activation, **options)


def noisy(system, level: float, seed: int = 0):
    noise = np.random.default_rng(seed).standard_normal(system.n_equations)
    return system.with_target(system.target + level * np.linalg.norm(system.target) * noise / np.linalg.norm(noise))


def dependent(kind: str, seed: int):
    """Four samples of rank three in six inputs, and the system that they give."""
    rng = np.random.default_rng(seed)
    net = random_network(rng, CUBIC, inputs=6, width=30)
    X = rng.standard_normal((4, 6))
    X[3] = X[0] + X[1] if kind == "sum" else 2 * X[0]
    c = rng.uniform(0.5, 1.5, 4) * rng.choice([-1, 1], 4)
    return system_of(net, X, c[:, None]), X, c


class TestStatus:
    @pytest.mark.parametrize(
        ("config", "seed"),
        [
            (size(1, 2, 4, "1 + z + z^2 + z^3 + z^4", layers="second"), 0),
            slow(size(3, 2, 4, "1 + z + z^2", outputs=2, layers="first"), 1),
        ],
        ids=str,
    )
    def test_other_data_are_not_kept_quiet(self, config, seed):
        """Tiny residuals and error bars at data that are not the planted ones."""
        system, truth = config.plant(seed)
        found = idf.recover(system, samples=2)
        assert found.residual < 1e-14 and found.error_bars.max() < 1e-10 and found.match(truth.X, truth.c).errors.max() > 1
        assert found.uniqueness.status in (UniquenessStatus.NOT_UNIQUE, UniquenessStatus.UNKNOWN)
        assert not found.uniqueness.is_supported and not any("Determined up to" in line for line in found.describe())
        assert found.evidence["uniqueness"]["converged"] < 10 and found.evidence["uniqueness"]["solutions_estimated"] is None
        if found.uniqueness.status is UniquenessStatus.NOT_UNIQUE:
            X, c = found.uniqueness.witness.example
            assert system.residual(X, c) < 1e-8 and found.match(X, c).errors.max() > 1e-3

    @pytest.mark.parametrize("config", [size(5, 4, 12), size(4, 3, 12, "z + z^3"), size(5, 4, 12, "z + z^2", outputs=2)], ids=str)
    def test_a_proof_has_the_scope_of_its_report(self, config):
        system, truth = config.plant(0)
        found = idf.recover(system, samples=config.samples)
        report = idf.check(system, data=(found.X, found.c))
        unique = found.uniqueness
        assert unique.status is UniquenessStatus.PROVED and unique.reason is UniquenessReason.DECIDED and unique.scope == report.scope
        assert unique.numbers == {"samples": config.samples, "residual": found.residual}
        assert "this network, this data" in str(unique) and "differs from that by" in str(unique)
        assert "Determined up to" in found.describe()[1] and "uniqueness PROVED" in repr(found)
        assert json.loads(json.dumps(unique.to_dict()))["status"] == "PROVED"
        assert found.match(truth.X, truth.c).errors.max() < 1e-9

    def test_nothing_but_conditions_is_evaluated(self, monkeypatch):
        """The diagnostics of a report decide nothing, and nobody reads them here."""
        monkeypatch.setattr("identify.conditions.judgement.diagnose", None)
        assert idf.recover(size(5, 4, 12).plant(0)[0]).uniqueness.is_proved

    def test_isolation_is_no_proof_of_uniqueness(self, monkeypatch):
        """A proof for the recovered numbers alone."""
        monkeypatch.setattr(judging, "SECONDS", 60.0)  # a second of a busy processor is too short
        system, _ = size(4, 4, 6).plant(0)
        few = idf.recover(system, samples=4).uniqueness
        assert few.status is UniquenessStatus.UNKNOWN and few.reason is UniquenessReason.EXACT_ONLY and few.scope is None
        assert few.numbers["condition"] in ("macaulay", "completion") and few.numbers["condition"] in str(few)

    @pytest.mark.slow
    def test_isolated_data_at_which_all_starts_end(self, monkeypatch):
        monkeypatch.setattr(judging, "SECONDS", 60.0)
        system, _ = size(5, 4, 6).plant(0)
        found = idf.recover(system, samples=4, method="birth", starts=32)
        assert found.evidence["uniqueness"]["converged"] >= 10
        assert found.uniqueness.status is UniquenessStatus.EVIDENCE and found.uniqueness.reason is UniquenessReason.ONE_SOLUTION

    @alone
    def test_several_solutions_of_the_starts(self):
        system, _ = size(3, 3, 3, "z + z^3").plant(0)
        found = idf.recover(system, samples=3, method="projection", starts=256)
        assert found.evidence["uniqueness"]["solutions"] > 1 and not found.uniqueness.is_supported

    def test_nothing_is_claimed_when_nobody_asked_or_there_was_no_time(self, monkeypatch):
        system, _ = size(5, 4, 12).plant(0)
        assert idf.recover(system, judge=False).uniqueness.reason is UniquenessReason.NOT_ASKED
        monkeypatch.setattr(judging, "SECONDS", 0.0)
        assert idf.recover(system).uniqueness.reason is UniquenessReason.TIME

    @pytest.mark.parametrize("kind", [slow("multiple"), "sum"])
    def test_a_proof_that_rests_on_rounding_does_not_count(self, kind):
        """As exact numbers the recovered samples are independent; the data are not, and for 2 x_1 they are not determined."""
        system, _X, _c = dependent(kind, 0)
        found = idf.recover(system, samples=4)
        assert found.residual < 1e-13
        assert idf.check(system, data=(found.X, found.c)).verdict == "UNIQUE"
        assert found.uniqueness.status is UniquenessStatus.UNKNOWN
        assert found.uniqueness.reason is (UniquenessReason.FREE if kind == "multiple" else UniquenessReason.ROUNDED)

    def test_a_tolerance_does_not_make_wrong_data_right(self):
        system, *_ = dependent("multiple", 0)
        found = idf.recover(system, samples=3, tolerance=LARGEST)
        assert found.residual > 1e-6
        assert found.uniqueness.status is UniquenessStatus.UNKNOWN and found.uniqueness.reason is UniquenessReason.RESIDUAL


class TestNotDetermined:
    @pytest.mark.parametrize("samples", [2, 3])
    @pytest.mark.parametrize("noise", [0, 1e-4])
    @pytest.mark.parametrize("method", ["auto", "algebraic", "birth"])
    def test_free_scales(self, samples, noise, method):
        system, _ = size(4, samples, 24, "1 + z^3").plant(19)
        if noise:
            system = noisy(system, noise)
        with pytest.raises(NotDeterminedError, match="scale: the data are not determined") as caught:
            idf.recover(system, samples=None if method == "auto" else samples, method=method)
        assert caught.value.family is Family.SCALES and caught.value.dimension == samples - 1
        assert idf.check(system, samples=samples).verdict == "NOT_UNIQUE"

    def test_more_samples_than_moments_of_the_lower_degree(self):
        """z + z^3: seven samples in six inputs; counting all unknowns does not exclude uniqueness, counting scales does."""
        system, _ = size(6, 7, 40, "z + z^3").plant(0)
        with pytest.raises(NotDeterminedError) as caught:
            idf.recover(system, samples=7)
        assert caught.value.family is Family.SCALES and caught.value.dimension == 1
        assert idf.check(system, samples=7).verdict == "NOT_UNIQUE"

    def test_one_sample_fewer_is_determined(self):
        system, truth = size(3, 2, 24, "1 + z^3", outputs=2).plant(0)
        assert idf.recover(system, samples=2).match(truth.X, truth.c).errors.max() < 1e-8

    def test_rotations(self):
        system, _ = size(4, 3, 12, "z + z^2").plant(0)
        with pytest.raises(NotDeterminedError) as caught:
            idf.recover(system, samples=3)
        assert caught.value.family is Family.ROTATION and caught.value.dimension == 3


class TestNumberOfSamples:
    def test_dependent_samples_that_a_bias_makes_independent(self):
        rng = np.random.default_rng(0)
        net = random_network(rng, CUBIC, inputs=4, width=20, bias=True)
        x, y = rng.standard_normal((2, 4))
        for X in (np.array([x, 2 * x, y]), np.array([x, 0 * x, y])):  # the second with a blank image
            system = system_of(net, X, np.array([[1.0], [-0.7], [0.5]]))
            assert Spectrum.of(system).rank == 3
            found = idf.recover(system)
            assert found.n_samples == 3 and np.abs(found.match(X, [1.0, -0.7, 0.5]).X - X).max() < 1e-12
            assert found.uniqueness.is_proved

    @pytest.mark.parametrize(("kind", "seed"), [alone("multiple", 0), slow("multiple", 1), slow("sum", 0)])
    def test_dependent_samples(self, kind, seed):
        """Rank three, four samples: three do not solve the equations, and are not accepted."""
        system, X, c = dependent(kind, seed)
        assert Spectrum.of(system).rank == 3
        for samples in (None, 4):
            found = idf.recover(system, samples=samples)
            assert found.n_samples == 4 and found.residual < 1e-13 and not found.uniqueness.is_proved
            if kind == "sum":
                assert found.match(X, c).errors.max() < 1e-9
            else:  # two samples on one line leave a family
                assert found.error_bars.max() > 1e-6
        with pytest.raises(ResidualError) as caught:
            idf.recover(system, samples=3, method="algebraic")
        assert caught.value.obstacle.kind is Failure.RESIDUAL and caught.value.obstacle.numbers["allowed"] < 1e-9

    def test_one_number_for_check_recover_and_audit(self):
        system, _ = size(8, 5, 30).plant(0)
        rounded = system.with_target(system.target.astype(np.float32))
        rank = Spectrum.of(rounded)
        assert rank.rank == 5 and idf.recover(rounded).evidence["rank_gap"] == pytest.approx(rank.gap)
        stationary = size(5, 3, 6, "z^3", regime="max-margin").plant(0)[0]
        evidence = idf.check(stationary, samples=3)["reduction"].evidence
        assert evidence["numerical_rank"] == Spectrum.of(stationary).rank == 3 and evidence["gap"] == pytest.approx(
            Spectrum.of(stationary).gap
        )


class TestPrecision:
    @pytest.mark.parametrize(("dtype", "unit"), [("float64", 2.0**-53), ("float32", 2.0**-24), ("float16", 2.0**-11)])
    def test_number_formats(self, dtype, unit):
        numbers = np.random.default_rng(0).standard_normal(500).astype(dtype).astype(float)
        assert format_of(numbers) == unit

    def test_small_integers_are_exact(self):
        assert format_of(np.random.default_rng(0).integers(-50, 50, 300).astype(float)) == 2.0**-53

    @pytest.mark.parametrize("level", [1e-9, 1e-6, 1e-3])
    def test_noise_behind_the_rank(self, level):
        system, _ = size(20, 4, 30).plant(0)
        system = noisy(system, level)
        spectrum = Spectrum.of(system)
        precision = Precision.of(system, spectrum)
        assert precision.source is Source.GAP and spectrum.rank == 4
        assert 0.3 * level < precision.noise < 3 * level and precision.allowed >= min(3 * level, LARGEST)

    @pytest.mark.parametrize("level", [0, 1e-7, 1e-4])
    def test_noise_that_only_the_moments_show(self, level):
        """As many samples as inputs: the rank is full, and the least-squares fit of the moments has the noise."""
        system, truth = size(4, 4, 30).plant(0)
        found = idf.recover(noisy(system, level) if level else system, samples=4)
        precision = found.evidence["precision"]
        assert precision["source"] is Source.MOMENTS and found.residual <= precision["allowed"]
        assert found.match(truth.X, truth.c).errors.max() < 1e-9 + 1e3 * level

    def test_check_says_when_data_miss_the_target(self):
        system, *_ = dependent("multiple", 0)
        wrong = idf.recover(system, samples=3, tolerance=LARGEST)
        report = idf.check(system, data=(wrong.X, wrong.c))
        assert report.subject["reproduces_target"] is False and "do not reproduce the given target" in report.reasons[0]
        right = idf.recover(system)
        assert idf.check(system, data=(right.X, right.c)).subject["reproduces_target"] is True


class TestErrorBars:
    @pytest.mark.parametrize("sizes", [(4, 3, 7), (10, 5, 20)])
    def test_free_scales_at_rounding_size(self, sizes):
        """Relative errors against relative bars: the planted samples are longer than the recovered ones, whose norm is one."""
        ratios = []
        for seed in range(10):
            system, truth = size(*sizes, "z^3").plant(seed)
            found = idf.recover(system, samples=sizes[1], judge=False)
            match = found.match(truth.X, truth.c)
            ratios.append(match.errors / found.relative_error_bars[match.order])
        assert np.max(ratios) < 5 and 0.1 < np.sqrt(np.mean(np.square(ratios))) < 2

    def test_they_are_at_least_the_rounding_of_the_sample(self):
        for seed in range(10):
            found = idf.recover(size(5, 3, 20).plant(seed)[0], judge=False)
            assert (found.error_bars >= np.spacing(np.abs(found.X)).max(axis=1) / 2).all()
            assert (found.error_bars >= np.spacing(np.linalg.norm(found.X, axis=1)) / 2).all()
