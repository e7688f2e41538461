"""``certify``: what a certificate of a solution says is tried out on sampled targets, and forged certificates are refused."""

import copy
from dataclasses import replace
from fractions import Fraction
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from support.command_line import run
from support.marks import slow
from support.oracles import exact_gradients, exact_target, random_network, small_integer_problems, system_of
from support.tampering import leaves, replaced

import identify as idf
from identify.checker.reading import canonical_hash, hashes
from identify.problem.arrays import ShapeError
from identify.problem.gradients import Observed, flatten, jacobian

CUBIC, ODD, CUBE = "z + z^2/2 + z^3", "z + z^3", "z^3"
FLOAT32 = 2.0**-24
SIZES = {
    "plain": (3, 2, 5, CUBIC, {}),
    "as many equations as unknowns": (3, 2, 2, CUBIC, {}),
    "one sample": (2, 1, 3, "z^2", {}),
    "one input": (1, 2, 4, CUBIC, {"bias": True}),
    "sign": (3, 2, 6, ODD, {}),
    "sign of x alone": (3, 2, 8, "z^2 + z^4", {}),
    "scaling": (3, 2, 6, CUBE, {}),
    "first layer": (3, 2, 6, CUBIC, {"layers": "first"}),
    "second layer": (2, 2, 9, CUBIC, {"layers": "second"}),
    "bias": (3, 2, 5, CUBIC, {"bias": True}),
    "bias, second layer": (2, 2, 8, "z^3", {"bias": True, "layers": "second"}),
    "two outputs": (2, 2, 6, "z + z^2", {"outputs": 2}),
    "three outputs, bias, first layer": (2, 2, 9, "z^3", {"outputs": 3, "bias": True, "layers": "first"}),
    "degree five": (2, 2, 6, "z - z^5/3", {}),
}


@cache
def planted(name: str, seed: int = 1):
    d, n, m, activation, options = SIZES[name]
    system, truth = idf.Configuration(inputs=d, samples=n, width=m, activation=activation, **options).plant(seed)
    return system, (np.asarray(truth.X), np.asarray(truth.c))


def rounded(system: idf.KKTSystem) -> idf.KKTSystem:
    """With its target in float32."""
    return system.with_target(system.target.astype(np.float32).astype(float))


@cache
def single(name: str):
    """A certificate for the target in float32."""
    system, data = planted(name)
    return idf.certify(rounded(system), data, relative_error=FLOAT32)


def unhex(value):
    return None if value is None else np.vectorize(float.fromhex)(np.array(value, dtype=object)).astype(float)


class Reading:
    """A certificate, read here once more: the network, the target with its errors, and the box."""

    def __init__(self, content: dict):
        claim, numbers, step = content["claim"], content["numbers"], content["steps"][0]
        sigma = idf.Activation([Fraction(s) for s in claim["activation"]])
        A = unhex(numbers["A"])
        self.net = idf.TwoLayerNetwork(unhex(numbers["W"]), A[0] if len(A) == 1 else A, sigma, unhex(numbers["bias"]))
        self.observed = Observed(*(name in claim["observed"] for name in ("W", "bias", "a")))
        parts = [unhex(numbers[f"target_{name}"]) for name in ("W", "bias", "a")]
        self.target = np.concatenate([p.ravel() for p in parts if p is not None])
        self.scales = np.concatenate([np.full(p.size, np.abs(p).max()) for p in parts if p is not None])
        self.errors = float.fromhex(claim["relative_error"]) * self.scales
        self.rows, self.d = step["rows"], claim["inputs"]
        self.centre = np.hstack([unhex(step["X"]), unhex(step["c"])])
        self.radii = np.hstack([unhex(step["X_radii"]), unhex(step["c_radii"])])
        self.free = self.radii.ravel() > 0

    def solve(self, target: np.ndarray, start: np.ndarray | None = None) -> np.ndarray:
        """The solution of the chosen equations, by Newton's method on residuals that are computed exactly."""
        point = (self.centre if start is None else start).copy()
        for _ in range(12):
            X, c = point[:, : self.d], point[:, self.d :]
            value = flatten(exact_gradients(self.net, X, c), self.observed)[self.rows]
            gap = np.array([float(v - Fraction(t)) for v, t in zip(value, target[self.rows].tolist(), strict=True)])
            derivatives = [self.net.activation.floats(k) for k in range(3)]
            J = jacobian(self.net.W, self.net.A, self.net.offsets, derivatives, self.observed, X, c)[self.rows][:, self.free]
            step = np.linalg.solve(J, -gap)
            flat = point.ravel()
            flat[self.free] += step
            if np.abs(step).max() <= 1e-15 * np.abs(point).max():
                break
        return point

    def targets(self, rng: np.random.Generator, count: int):
        """Targets in the box: corners, and points inside."""
        for k in range(count):
            signs = rng.choice([-1.0, 1.0], self.target.size) if k % 2 else rng.uniform(-1, 1, self.target.size)
            yield self.target + signs * self.errors


def is_true(content: dict, count: int = 4) -> bool:
    """Whether for sampled targets the chosen equations have a solution in the box, the same from elsewhere in the box."""
    reading, rng = Reading(content), np.random.default_rng(0)
    for target in reading.targets(rng, count):
        u = reading.solve(target)
        again = reading.solve(target, reading.centre + 0.9 * reading.radii * rng.uniform(-1, 1, reading.radii.shape))
        close = 1e-12 * np.abs(u).max()
        if not (np.abs(u - reading.centre) <= reading.radii + close).all() or np.abs(u - again).max() > close:
            return False
    return True


class TestWhatItSays:
    @pytest.mark.parametrize("name", SIZES)
    def test_every_target_in_the_box_has_one_solution_there(self, name):
        proof = single(name)
        reading, rng = Reading(proof.content), np.random.default_rng(0)
        found = planted(name)[1][0]
        assert proof.error_bounds.shape == (len(found),) and 0 < proof.factor < 1
        assert is_true(proof.content)
        others = np.setdiff1d(np.arange(reading.target.size), reading.rows)
        largest = np.zeros(len(found))
        for target in reading.targets(rng, 12):
            u = reading.solve(target)
            distances = np.linalg.norm(u[:, : reading.d] - found, axis=1)
            assert (distances <= proof.error_bounds).all()
            largest = np.maximum(largest, distances)
            value = flatten(exact_gradients(reading.net, u[:, : reading.d], u[:, reading.d :]), reading.observed).astype(float)
            off = np.abs(value - reading.target) / reading.scales
            assert (off[others] <= proof.deviation).all()
        assert (largest > proof.error_bounds / 200).all(), "the bounds are far from what can happen"

    @pytest.mark.parametrize("name", SIZES)
    def test_planted_data_in_doubles(self, name):
        system, data = planted(name)
        proof = idf.certify(system, data)
        assert idf.verify(proof) and proof.is_attained
        assert proof.error_bounds.max() < 1e-9 * np.abs(data[0]).max()
        assert proof.deviation < 1e-11

    @pytest.mark.parametrize("name", SIZES)
    def test_attained_means_that_an_exact_solution_exists(self, name):
        """The exact rational target of the centre is within the error, in every equation."""
        proof = single(name)
        reading = Reading(proof.content)
        X, c = reading.centre[:, : reading.d], reading.centre[:, reading.d :]
        value = exact_target(reading.net, reading.observed, X, c)
        error = Fraction(FLOAT32)
        inside = all(
            abs(v - Fraction(t)) <= error * Fraction(s)
            for v, t, s in zip(value, reading.target.tolist(), reading.scales.tolist(), strict=True)
        )
        assert proof.is_attained and (inside or len(reading.rows) == len(value))

    @pytest.mark.parametrize(
        ("config", "error"),
        [
            (idf.Configuration(inputs=5, samples=3, width=24, activation=CUBIC), FLOAT32),
            (idf.Configuration(inputs=4, samples=3, width=20, activation=ODD), FLOAT32),
            (idf.Configuration(inputs=4, samples=3, width=20, activation=CUBE, bias=True), FLOAT32),
            (idf.Configuration(inputs=3, samples=2, width=12, activation="z + z^2", outputs=2), FLOAT32),
            (idf.Configuration(inputs=3, samples=3, width=7, activation=CUBE, regime="max-margin"), None),
            (idf.Configuration(inputs=3, samples=3, width=7, activation=CUBE, regime="weight-decay"), None),
        ],
        ids=str,
    )
    def test_recovered_data(self, config, error):
        system, truth = config.plant(2)
        system = system if error is None else rounded(system)
        found = idf.recover(system, samples=config.samples)
        proof = idf.certify(system, found, relative_error=error)
        assert idf.verify(proof)
        match = found.match(truth.X, truth.c)
        if found.ambiguity.group == "none" or error is not None:
            distance = np.linalg.norm(found.match(truth.X, truth.c).X - truth.X, axis=1)
            assert (distance <= proof.error_bounds[match.order] * (1 + 1e-9)).all()

    def test_larger_errors_allow_more(self):
        """From excluded, by way of not excluded, to attained; and the bounds grow in proportion."""
        system, data = planted("degree five")
        system = rounded(system)
        outcomes, bounds = [], []
        for k in range(34, 22, -1):
            try:
                proof = idf.certify(system, data, relative_error=2.0**-k)
            except idf.NotCertifiedError as error:
                assert error.evidence["beyond"] > 2.0**-k and error.evidence["equations"]
                outcomes.append("excluded")
                continue
            outcomes.append("attained" if proof.is_attained else "open")
            bounds.append(proof.error_bounds.max())
        stages = ["excluded", "open", "attained"]
        assert outcomes == sorted(outcomes, key=stages.index) and set(outcomes) == set(stages)
        assert bounds == sorted(bounds)

    @pytest.mark.smoke
    def test_exact_target(self):
        """Integer data have an exact target; an error of zero is one target."""
        net = random_network(np.random.default_rng(3), CUBIC, inputs=2, width=4, integers=True)
        X, c = np.array([[1.0, 2.0], [-1.0, 1.0]]), np.array([1.0, -2.0])
        proof = idf.certify(system_of(net, X, c), (X, c), relative_error=0)
        assert idf.verify(proof) and proof.is_attained and proof.error_bounds.max() < 1e-13
        assert "within 0.00e+00 of the target" in idf.verify(proof).claim

    def test_data_that_are_not_quite_there(self):
        """They are improved, and the box still holds what was given."""
        system, (X, c) = planted("plain")
        near = X + 1e-4 * np.random.default_rng(0).normal(size=X.shape)
        proof = idf.certify(system, (near, c))
        assert idf.verify(proof) and proof.is_attained
        distances = np.linalg.norm(near - X, axis=1)
        assert (distances <= proof.error_bounds).all() and (proof.error_bounds <= 1.01 * distances).all()
        assert is_true(proof.content)

    @pytest.mark.parametrize(("name", "t"), [("sign", -1.0), ("sign of x alone", -1.0), ("scaling", -3.0), ("scaling", 0.125)])
    def test_images_under_the_group_are_solutions_too(self, name, t):
        system, (X, c) = planted(name)
        X, c = system_ambiguity(system).act(X, c[:, None], np.array([t, 1.0]))
        proof = idf.certify(rounded(system), (X, c), relative_error=FLOAT32)
        assert idf.verify(proof) and is_true(proof.content)
        held = np.array([[float.fromhex(v) == 0 for v in row] for row in proof.content["steps"][0]["X_radii"]])
        assert held.sum() == (2 if name == "scaling" else 0)
        assert ("one coordinate of each sample is held" in idf.verify(proof).claim) is (name == "scaling")

    @pytest.mark.parametrize("scale", [1e-8, 1e8])
    def test_scales_of_the_inputs(self, scale):
        system, (X, c) = planted("bias")
        net = replace(system.network, W=system.network.W / scale)
        moved = system_of(net, X * scale, c)
        first = idf.certify(system_of(system.network, X, c), (X, c), relative_error=FLOAT32)
        second = idf.certify(moved, (X * scale, c), relative_error=FLOAT32)
        assert idf.verify(second)
        assert second.error_bounds == pytest.approx(first.error_bounds * scale, rel=0.5)

    def test_a_part_of_zeros_is_exact(self):
        """sigma = z^2 - z vanishes at every w.x = 1: the second layer's target is zero, and so is its error."""
        net = idf.TwoLayerNetwork([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5], [2.0, -1.0]], [1.0, 2.0, -1.0, 3.0], "z^2 - z")
        X, c = np.array([[1.0, 1.0]]), np.array([2.0])
        system = system_of(net, X, c)
        assert not system.target_a.any()
        proof = idf.certify(system, (X, c), relative_error=FLOAT32)
        assert idf.verify(proof) and proof.is_attained and is_true(proof.content)
        with pytest.raises(idf.NotCertifiedError, match="exclude every solution"):
            idf.certify(
                replace(system, updates=[system.updates[0]._replace(W=system.target_W * np.array([1.0, 1.001])), system.updates[1]]),
                (X, c),
                relative_error=FLOAT32,
            )

    @given(small_integer_problems((3, 3, 7), ["z^2", "z^3", "z + z^3", "1 + z^2", "z + z^2 + z^3"]))
    @settings(max_examples=30)
    def test_random_and_degenerate_problems(self, problem):
        """In small integers: what is certified is isolated in exact arithmetic, and true of sampled targets."""
        system, X, c = problem
        try:
            proof = idf.certify(system, (X, c), relative_error=2.0**-30)
        except idf.NotCertifiedError:
            return
        assert idf.verify(proof) and proof.is_attained and is_true(proof.content, 2)
        assert idf.check(system, data=(X, c)).verdict in ("UNIQUE", "LOCALLY_UNIQUE") or is_isolated(system, X, c)


def system_ambiguity(system: idf.KKTSystem) -> idf.Ambiguity:
    return idf.Ambiguity.of(system.degrees, system.degrees == tuple(range(system.network.activation.degree + 1)))


def is_isolated(system, X, c) -> bool:
    """NOT_UNIQUE by a second solution is no contradiction; a family is."""
    report = idf.check(system, data=(X, c))
    return report.verdict is idf.Verdict.UNDECIDED or (report.witness is not None and report.witness.kind == "second solution")


class TestRefusals:
    @pytest.mark.parametrize(
        ("X", "activation", "c"),
        [
            ([[1.0, 2.0], [1.0, 2.0]], CUBIC, [1.0, 2.0]),
            ([[1.0, 2.0], [1.0, 2.0 + 1e-13]], CUBIC, [1.0, 2.0]),
            ([[1.0, 2.0], [-1.0, -2.0]], ODD, [1.0, 2.0]),
            ([[1.0, 2.0], [2.0, 4.0]], CUBE, [1.0, 2.0]),
            ([[0.0, 0.0], [2.0, 4.0]], CUBIC, [1.0, 2.0]),
            ([[1.0, 2.0], [2.0, 3.0]], CUBIC, [0.0, 2.0]),
            ([[1.0, 2.0], [2.0, 3.0]], "z + z^2", [1.0, 2.0]),
        ],
        ids=["duplicate", "near duplicate", "opposite", "parallel", "zero sample", "zero multiplier", "rotations"],
    )
    def test_singular_derivatives(self, X, activation, c):
        net = random_network(np.random.default_rng(0), activation, inputs=2, width=8)
        with pytest.raises(idf.NotCertifiedError, match="singular, or close to it") as caught:
            idf.certify(system_of(net, X, c), (np.array(X), np.array(c)))
        assert caught.value.evidence["rank"] < caught.value.evidence["unknowns"]

    @pytest.mark.parametrize("distance", [1e-5, 1e-7, 1e-9])
    def test_nearly_coinciding_samples(self, distance):
        """Close to singular, for an error as large as that of float32."""
        net = random_network(np.random.default_rng(0), CUBIC, inputs=2, width=8)
        X, c = np.array([[1.0, 2.0], [1.0, 2.0 + distance]]), np.array([1.0, 2.0])
        with pytest.raises(idf.NotCertifiedError):
            idf.certify(system_of(net, X, c), (X, c), relative_error=FLOAT32)

    @pytest.mark.smoke
    def test_wrong_data(self):
        system, (X, c) = planted("plain")
        rng = np.random.default_rng(0)
        for _ in range(10):
            with pytest.raises(idf.NotCertifiedError, match="recover them more exactly|exclude every solution|singular"):
                idf.certify(system, (rng.normal(size=X.shape), rng.normal(size=c.shape)))

    def test_too_few_samples(self):
        system, (X, c) = planted("plain")
        with pytest.raises(idf.NotCertifiedError):
            idf.certify(system, (X[:1], c[:1]))

    def test_data_of_another_system(self):
        system, data = planted("plain")
        other, _ = planted("plain", 2)
        with pytest.raises(idf.NotCertifiedError):
            idf.certify(other, data)
        assert idf.verify(idf.certify(system, data)).network != idf.verify(idf.certify(*planted("plain", 2))).network

    @pytest.mark.parametrize("error", [0.1, 0.01])
    def test_error_too_large(self, error):
        system, data = planted("plain")
        with pytest.raises(idf.NotCertifiedError, match="not exact enough: with a relative_error of about .* in place") as caught:
            idf.certify(system, data, relative_error=error)
        assert caught.value.evidence["growth"] > 0.25

    @pytest.mark.parametrize("at", range(4))
    def test_one_number_of_the_target_is_wrong(self, at):
        """By more than the stated error: no data near these produce it."""
        system, data = planted("plain")
        target = system.target.copy()
        target[at] += 1e-6 * np.abs(target).max()
        with pytest.raises(idf.NotCertifiedError, match=r"exclude every solution near these data.*larger relative_error"):
            idf.certify(system.with_target(target), data)

    def test_fewer_equations_than_unknowns(self):
        system, (X, c) = planted("plain")
        X, c = np.vstack([X] * 3) + np.arange(6)[:, None], np.ones(6)
        with pytest.raises(idf.NotCertifiedError, match="20 equations in 24 unknowns: solutions lie in families"):
            idf.certify(system, (X, c))

    def test_too_large(self):
        net = random_network(np.random.default_rng(0), CUBIC, inputs=40, width=20)
        rng = np.random.default_rng(1)
        X, c = rng.normal(size=(7, 40)), np.ones(7)
        with pytest.raises(idf.CertificateTooLargeError, match="820 equations in 287 unknowns are too many; expected at most 256"):
            idf.certify(system_of(net, X, c), (X, c))

    def test_overflow_and_zeros(self):
        system, (X, c) = planted("plain")
        with pytest.raises(idf.NotCertifiedError, match="too large for doubles"):
            idf.certify(system, (1e200 * X, c))
        with pytest.raises(idf.NotCertifiedError, match="every sample, or every multiplier, is zero"):
            idf.certify(system, (X, 0 * c))

    def test_bad_input(self):
        system, data = planted("plain")
        with pytest.raises(TypeError, match="expected a KKTSystem"):
            idf.certify(data, data)
        for found in (data[0], None, (1, 2, 3)):
            with pytest.raises(ShapeError, match="expected a Recovery or a pair"):
                idf.certify(system, found)
        with pytest.raises(ShapeError, match="X: received shape"):
            idf.certify(system, (data[0][:, :2], data[1]))
        for error in (-1e-9, 1.0, np.nan, True, "1"):
            with pytest.raises(ValueError, match="relative_error: received"):
                idf.certify(system, data, relative_error=error)


def rehash(body: dict) -> dict:
    """With every hash set right."""
    numbers, body = body["numbers"], dict(body)
    body["sha256"] = hashes(body["claim"], numbers, [name for name in numbers if numbers[name] is not None])
    body["sha256"]["content"] = canonical_hash({name: value for name, value in body.items() if name != "sha256"})
    return body


def candidates(path, value) -> list:
    """Other values for one leaf."""
    if isinstance(value, bool) or value is None:
        return [True, False, None, "0x1.0000000000000p+0"]
    if isinstance(value, int):
        return [value + 1, value - 1]
    if path[0] == "sha256":
        return ["0" * 64, None]
    if not value.lstrip("-").startswith("0x"):
        return ["this data", "verdict", "SOLUTION", "UNIQUE", "scaling", "lazy", "2", None]
    number = float.fromhex(value)
    return [(number * (1 + 1e-7)).hex(), (1.5 * number + 0.25).hex(), (-number).hex(), (0.0).hex(), 0]


class TestTampering:
    @pytest.mark.parametrize("every", [3, slow(1)])
    @pytest.mark.parametrize("name", ["scaling", "bias", "two outputs"])
    def test_any_change_shows(self, name, every):
        """Without new hashes it is refused; with new hashes what is accepted is another true statement. A third of the leaves,
        another third of the next certificate; all if slow tests are run."""
        original = single(name).to_dict()
        accepted = 0
        start = ["scaling", "bias", "two outputs"].index(name) % every
        for turn, (path, value) in list(enumerate(leaves(original)))[start::every]:
            others = [other for other in candidates(path, value) if other != value or type(other) is not type(value)]
            for other in [others[turn % len(others)]] if path[0] == "numbers" else others:  # of many numbers one kind each, in turn
                body = replaced(original, path, other)
                assert not idf.verify(body), path
                if path[0] == "sha256":
                    continue
                try:
                    answer = idf.verify(rehash(body))
                except (KeyError, TypeError, ValueError, AttributeError):
                    continue
                if answer:
                    accepted += 1
                    assert path[-1] == "regime" or is_true(body, 2), (path, value, other)
        assert accepted

    def test_forged_statements(self):
        original = single("plain").to_dict()
        reading = Reading(original)
        size = len(reading.rows)

        def refused(reason: str, **parts) -> None:
            body = copy.deepcopy(original)
            body["claim"] |= parts.get("claim", {})
            body["steps"][0] |= parts.get("step", {})
            body["numbers"] |= parts.get("numbers", {})
            body["kind"] = parts.get("kind", "solution")
            answer = idf.verify(rehash(body))
            assert not answer and reason in answer.reasons[0], answer.reasons

        smaller = [[(float.fromhex(v) * 1e-3).hex() for v in row] for row in original["steps"][0]["X_radii"]]
        larger = [[(float.fromhex(v) * 1e4).hex() for v in row] for row in original["steps"][0]["X_radii"]]
        no_box = [[(0.0).hex()] * 3] * 2
        minus = [["-" + v for v in row] for row in original["steps"][0]["X_radii"]]
        moved = [[(float.fromhex(v) + 0.5).hex() for v in row] for row in original["numbers"]["X"]]
        refused("Krawczyk's test does not hold", step={"X_radii": smaller})
        refused("Krawczyk's test does not hold", step={"X_radii": larger})
        refused("radii: expected 0 zeros", step={"X_radii": no_box})
        refused("radii: expected no negative", step={"X_radii": minus})
        refused("the given data are not in the box", numbers={"X": moved})
        refused(f"expected {size} rows", step={"rows": reading.rows[:-1]})
        refused("increasing", step={"rows": [*reading.rows[:-2], reading.rows[-1], reading.rows[-2]]})
        refused("Krawczyk's test does not hold", claim={"relative_error": (0.5).hex()})
        refused("relative_error", claim={"relative_error": (-0.5).hex()})
        refused("relative_error", claim={"relative_error": (1.0).hex()})
        refused("kind: verdict does not go with SOLUTION", kind="verdict")
        refused("kind: expected one of verdict, solution, network", kind="other")
        refused("data: a solution is claimed", claim={"data": "this target"})
        refused("claim: expected exactly the keys", claim={"verdict": "UNIQUE"})
        refused("a solution is one of (S) alone", claim={"regime": "weight-decay", "loss": "square"})
        refused("ambiguity", claim={"ambiguity": "sign"})

    def test_other_steps_prove_no_solution(self):
        original = single("plain").to_dict()
        for steps in ([], [{"kind": "count", "coordinates": 3, "parameters": 8, "bound": 20}], original["steps"] * 40):
            assert not idf.verify(rehash(original | {"steps": steps}))

    def test_the_step_proves_no_verdict(self):
        system, (X, c) = planted("plain")
        verdict = idf.check(system, data=(X, c)).certificate().to_dict()
        verdict["steps"] = single("plain").to_dict()["steps"]
        assert "belongs to the claim of a solution" in idf.verify(rehash(verdict)).reasons[0]

    def test_a_target_that_was_changed_within_the_error_is_another_true_statement(self):
        body = single("plain").to_dict()
        value = float.fromhex(body["numbers"]["target_a"][0][0])
        body["numbers"]["target_a"][0][0] = (value * (1 + 1e-9)).hex()
        assert idf.verify(rehash(body)) and is_true(body)
        body["numbers"]["target_a"][0][0] = (value * (1 + 1e-3)).hex()
        assert not idf.verify(rehash(body))


class TestFiles:
    def test_saved_and_read(self, tmp_path):
        proof = single("plain")
        answer = idf.verify(proof.save(tmp_path / "solution.json"))
        assert answer and answer.claim.startswith("SOLUTION for this network, this data and target (gradient, 3-5-1")
        assert "within 5.96e-08 of the target" in answer.claim
        assert len(answer.reasons) == 1 and "8 equations have exactly one solution" in answer.reasons[0]
        assert repr(proof).startswith("SolutionCertificate(2 samples to ") and repr(proof).endswith("all equations at once: attained)")

    def test_repeatable(self):
        system, data = planted("plain")
        assert idf.certify(system, data).to_json() == idf.certify(system, data).to_json()

    def test_command_line(self, monkeypatch, capsys, tmp_path):
        sizes = ["-d", 4, "-n", 2, "-m", 16, "-a", "z + z^3"]
        status, out, _ = run(monkeypatch, capsys, "recover", *sizes, "--certificate", tmp_path / "c.json")
        assert status == 0 and "Certified: SolutionCertificate(2 samples" in out
        assert run(monkeypatch, capsys, "verify", tmp_path / "c.json")[0] == 0
        status, out, err = run(monkeypatch, capsys, "recover", *sizes, "--certificate", tmp_path / "d.json", "--relative-error", 0.3)
        assert status == 1 and "Recovered 2 samples" in out and "certify: " in err and not (tmp_path / "d.json").exists()
        status, _, err = run(monkeypatch, capsys, "recover", *sizes, "--relative-error", 1e-8)
        assert status == 2 and "give --certificate too" in err
