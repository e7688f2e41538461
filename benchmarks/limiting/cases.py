"""What is measured: every public verb, at sizes up to a hundred times too large."""

from __future__ import annotations

CUBIC = "z + z^2/2 + z^3"
SWEEP = (
    "import tempfile; from concurrent.futures import ThreadPoolExecutor; store = tempfile.mkdtemp(); "
    "grid = dict(measure={}, inputs={}, {}, width={}, activation='z + z^2/2 + z^3')"
)
PLANTED = "system, truth = config({}, {}, {}).plant(seed=0); data = truth.X, truth.c"
CLASSIFIER = "system, truth = classifier('{}', {}, {}).plant(seed=0); data = truth.X, truth.c"
ONE_LAYER = "; system = idf.KKTSystem.gradient(system.network, layers={})"
NOISE = (
    "; noise = numpy.random.default_rng(0).standard_normal(system.n_equations); "
    "system = system.with_target(system.target + 1e-6 * noise * numpy.linalg.norm(system.target) / len(noise)**0.5)"
)
STEPS = (
    "; net = system.network; final = net.with_parameters({name: part + 1e-3 * system.parts[name] for name, part in net.parameters.items()})"
    "; steps = idf.KKTSystem.steps(net, final, learning_rate=1e-3, steps=5)"
)
HEAD = (
    "n, C, m = {}, {}, {}; rng = numpy.random.default_rng(0); A = rng.standard_normal((C, m)) / m**0.5; H = rng.standard_normal((n, m)); "
    "p = numpy.exp(H @ A.T); c = (numpy.eye(C)[rng.integers(C, size=n)] - p / p.sum(axis=1, keepdims=True)) / n; "
    "head = idf.KKTSystem.linear_head(A, numpy.zeros(C), W=c.T @ H, bias=c.sum(axis=0))"
)
KNOWN_MAP = (
    "rng = numpy.random.default_rng(0); V = rng.standard_normal((4000, 784)) / 28; X = rng.random((100, 784)); "
    "U = rng.standard_normal((100, 500)); G = U.T @ numpy.tanh(X @ V.T); "
    "map = idf.KKTSystem.features(lambda x: jax.numpy.tanh(V @ x), 784, W=G, box=(0, 1))"
)
ROUND = (
    "import pathlib, tempfile; from concurrent.futures import ThreadPoolExecutor; store, round = map(pathlib.Path, (tempfile.mkdtemp(), "
    "tempfile.mkdtemp())); numpy.savez(round / 'client.npz', **system.parts); model = store / 'model.npz'; "
    "numpy.savez(model, **system.network.parameters); "
)
RELU = "net = idf.attacks.random_network((784, {}, 1), 'relu', seed=0); "
LABELLED = "rng = numpy.random.default_rng(0); X = rng.standard_normal(({0}, 784)); y = numpy.where(rng.integers(2, size={0}), 1.0, -1.0); "
SAVED = "import tempfile; path = tempfile.mkdtemp() + '/problem.npz'; "
JAX = "import jax.numpy; "
"""Loading it does not count against a budget; compiling does."""
CASES: dict[str, tuple[str, str]] = {
    "check, configuration": ("", "idf.check(config(784, 700, 1000), budget=budget)"),
    "check, configuration, more samples": ("", "idf.check(config(784, 60000, 1000), budget=budget)"),
    "check, configuration, everything": ("", "idf.check(config(784, 20000, 1000), budget=budget, conditions=idf_conditions)"),
    "check, configuration, degree 2": ("", "idf.check(config(784, 20000, 1000, 'z + z^2'), budget=budget)"),
    "check, configuration, just affordable": ("", "idf.check(config(60, 50, 300), budget=budget)"),
    "check, many outputs": ("", "idf.check(config(100, 500, 400, outputs=100, layers='first'), budget=budget)"),
    "check, system": (PLANTED.format(784, 300, 1000), "idf.check(system, samples=300, budget=budget)"),
    "check, data": (PLANTED.format(784, 300, 1000), "idf.check(system, data=data, budget=budget)"),
    "check, more data than inputs": (PLANTED.format(100, 4000, 1000), "idf.check(system, data=data, budget=budget)"),
    "largest_identifiable": ("", "idf.largest_identifiable(config(784, 1, 1000), budget=budget)"),
    "largest_identifiable, affordable memory": ("", "idf.largest_identifiable(config(60, 1, 200), budget=budget)"),
    "recover": (JAX + PLANTED.format(784, 200, 1000), "idf.recover(system, samples=200, budget=budget)"),
    "kkt_equations": ("", "idf.kkt_equations(config(784, 700, 1000))"),
    "certify": (PLANTED.format(784, 200, 1000), "idf.certify(system, data)"),
    "report.certificate": ("report = idf.check(config(30, 80, 140))", "report.certificate(budget=budget)"),
    "verify": ("proof = idf.check(config(17, 60, 90)).certificate()", "idf.verify(proof, budget=budget / 10)"),
    "defences": (JAX + PLANTED.format(200, 100, 400), "idf.defences(system, *data, budget=budget)"),
    "audit": (JAX + PLANTED.format(784, 200, 1000), "idf.audit(system, budget=budget)"),
    "reconstruct": (
        JAX + "net = idf.attacks.random_network((784, 1000, 1), 'relu', seed=0)",
        "idf.reconstruct(idf.attacks.haim(net), candidates=1000, budget=budget)",
    ),
    "reconstruct, splitting": (
        JAX + "net = idf.attacks.random_network((784, 1000, 1), 'relu', seed=0)",
        "idf.reconstruct(idf.attacks.haim(net), candidates=50, splitting=idf.Splitting(every=2), budget=budget)",
    ),
    "corners": (
        JAX + "net = idf.attacks.random_network((784, 1000, 1), 'relu', seed=0)",
        "idf.attacks.corners(net, -1, 1, budget=budget)",
    ),
    "vertices": (
        JAX + "net = idf.attacks.random_network((784, 1000, 1), 'relu', seed=0)",
        "idf.attacks.vertices(net, -1, 1, budget=budget)",
    ),
    "patterns": (
        JAX + "net = idf.attacks.random_network((784, 1000, 1), 'relu', seed=0)",
        "idf.attacks.patterns(net, dimension=20, budget=budget)",
    ),
    "patterns, two checkpoints": (
        JAX + "net, other = (idf.attacks.random_network((784, 1000, 1), 'relu', seed=seed) for seed in (0, 1))",
        "idf.attacks.patterns(net, initial=other, dimension=100, budget=budget)",
    ),
    "sweep, verdicts": (SWEEP.format("'verdict'", 784, "samples=60000", 1000), "idf.sweep(grid, store=store, workers=1)"),
    "sweep, thresholds": (SWEEP.format("'thresholds'", 60, "seeds=1", 200), "idf.sweep(grid, store=store, workers=1)"),
    "sweep, recoveries": (
        JAX + SWEEP.format("'recovery'", 784, "samples=200, budget=budget", 1000),
        "idf.sweep(grid, store=store, executor=ThreadPoolExecutor(1))",
    ),
    "check, configuration, ReLU": ("", "idf.check(classifier('relu', 5000, (20000, 10000)), budget=budget)"),
    "check, configuration, GELU": ("", "idf.check(classifier('gelu', 5000, (20000, 10000)), budget=budget)"),
    "check, configuration, planted": ("", "idf.check(config(3000, 4000, 5000, 'relu', outputs=10, bias=True), budget=budget)"),
    "check, configuration, planted, GELU": ("", "idf.check(config(3000, 4000, 5000, 'gelu', outputs=10, bias=True), budget=budget)"),
    "check, data, ReLU": (CLASSIFIER.format("relu", 300, "(1000, 500)"), "idf.check(system, data=data, budget=budget)"),
    "check, data, ReLU, two layers": (CLASSIFIER.format("relu", 300, 1000), "idf.check(system, data=data, budget=budget)"),
    "check, data, GELU": (CLASSIFIER.format("gelu", 300, "(1000, 500)"), "idf.check(system, data=data, budget=budget)"),
    "largest_identifiable, GELU": ("", "idf.largest_identifiable(classifier('gelu', 1, (20000, 10000)), budget=budget)"),
    "exposed": ("", "idf.exposed(classifier('relu', 5000, (20000, 10000)))"),
    "recover, ReLU": (JAX + CLASSIFIER.format("relu", 600, "(1000, 800)"), "idf.recover(system, budget=budget)"),
    "recover, GELU": (JAX + CLASSIFIER.format("gelu", 600, "(1000, 800)"), "idf.recover(system, budget=budget)"),
    "recover, first layer": (
        JAX + CLASSIFIER.format("gelu", 200, 2000) + ONE_LAYER.format("{1: system.layers[1]}"),
        "idf.recover(system, budget=budget)",
    ),
    "recover, second layer": (
        JAX + CLASSIFIER.format("gelu", 100, "(1000, 500)") + ONE_LAYER.format("{2: system.layers[2]}"),
        "idf.recover(system, budget=budget)",
    ),
    "recover, noise": (
        JAX + CLASSIFIER.format("relu", 200, "(1000, 500)") + NOISE,
        "idf.recover(system, budget=budget)",
    ),
    "recover, softmax head": (JAX + HEAD.format(28, 30, 100), "idf.recover(head, budget=budget)"),
    "recover, softmax head, one by one": (JAX + HEAD.format(100, 500, 1000), "idf.recover(head, budget=budget)"),
    "recover, known map": (JAX + KNOWN_MAP, "idf.recover(map, budget=budget)"),
    "recover, first and last layer": (
        JAX + CLASSIFIER.format("relu", 100, "(1000, 500)") + ONE_LAYER.format("{1: system.layers[1], 3: system.layers[3]}"),
        "idf.recover(system, budget=budget)",
    ),
    "recover, steps": (JAX + CLASSIFIER.format("gelu", 100, "(500, 300)") + STEPS, "idf.recover(steps, budget=budget)"),
    "complete": (
        "W = numpy.random.default_rng(0).standard_normal((2000, 1000)); W[numpy.random.default_rng(1).random(W.shape) < 0.3] = numpy.nan",
        "idf.complete(W, samples=100, budget=budget)",
    ),
    "defences, ReLU": (JAX + CLASSIFIER.format("relu", 100, "(1000, 500)"), "idf.defences(system, *data, budget=budget)"),
    "audit, ReLU": (JAX + CLASSIFIER.format("relu", 300, "(1000, 500)"), "idf.audit(system, budget=budget)"),
    "sweep_updates": (
        JAX + CLASSIFIER.format("relu", 100, "(1000, 500)") + "; " + ROUND,
        "idf.sweep_updates(round, store=store / 'runs', model=model, activation='relu', budget=budget, executor=ThreadPoolExecutor(1))",
    ),
    "sweep_updates, processes": (
        CLASSIFIER.format("relu", 100, "(1000, 500)") + "; " + ROUND,
        "idf.sweep_updates(round, store=store / 'runs', model=model, activation='relu', budget=budget, workers=1)",
    ),
    "train": (
        JAX + RELU.format(1000) + LABELLED.format(20000),
        "idf.attacks.train(net, X, y, steps=10**6, budget=budget)",
    ),
    "train, short steps": (
        JAX + RELU.format(1000) + LABELLED.format(500),
        "idf.attacks.train(net, X, y, steps=10**6, budget=budget)",
    ),
    "stationarity": (
        JAX + RELU.format(100) + LABELLED.format(1500),
        "idf.attacks.stationarity(idf.attacks.haim(net), X, y, budget=budget)",
    ),
    "stationarity, any sign": (
        JAX + RELU.format(2) + LABELLED.format(3000),
        "idf.attacks.stationarity(idf.attacks.haim(net), X, y, signed=True, budget=budget)",
    ),
    "diagnose": (JAX + RELU.format(1000) + LABELLED.format(2000), "idf.attacks.diagnose(idf.attacks.haim(net), X, y, budget=budget)"),
    "diagnose, subgradients": (
        JAX + RELU.format(500) + LABELLED.format(20),
        "idf.attacks.diagnose(idf.attacks.haim(net), X, y, budget=budget)",
    ),
    "diagnose, samples of small networks": (
        JAX + RELU.format(2) + LABELLED.format(5000),
        "idf.attacks.diagnose(idf.attacks.haim(net), X, y, budget=budget)",
    ),
    "random_network": ("idf.attacks", "idf.attacks.random_network((10**5, 10**5, 1))"),
    "haim": (JAX + RELU.format(50000), "idf.attacks.haim(net)"),
    "buzaglo": (JAX + RELU.format(50000), "idf.attacks.buzaglo(net, kind='weight-decay')"),
    "loo": (JAX + RELU.format(50000), "idf.attacks.loo(idf.attacks.random_network((784, 50000, 1), 'relu', seed=1), net)"),
    "objective": (
        JAX + RELU.format(50000),
        "idf.attacks.objective((net.parameters,), None, numpy.ones(100), scalars=lambda outputs, labels: outputs, "
        "prior=lambda X: 0 * X[:, 0], penalty=lambda c, bounds: 0 * c[:, 0], nonlinearity=lambda z, sharpness: jax.numpy.tanh(z))",
    ),
    "in_row_space": (JAX + RELU.format(10000), "idf.attacks.in_row_space(idf.attacks.haim(net))"),
    "row_space": ("idf.attacks; W = numpy.random.default_rng(0).standard_normal((1200, 1200))", "idf.attacks.row_space(W)"),
    "score": (JAX + LABELLED.format(2500), "idf.attacks.score(X + rng.standard_normal(X.shape), X)"),
    "score, beyond memory": (JAX + LABELLED.format(20000), "idf.attacks.score(X, X[::-1])"),
    "score, held out": (JAX + LABELLED.format(500), "idf.attacks.score(X[:250], X[250:], held_out=X, trials=40)"),
    "gradients_of": (
        JAX + RELU.format(50000),
        "idf.gradients_of({name: 2 * part for name, part in net.parameters.items()}, like=net)",
    ),
    "save_problem": (SAVED + CLASSIFIER.format("relu", 100, "(5000, 4000)"), "idf.save_problem(path, system)"),
    "load_problem": (
        SAVED + CLASSIFIER.format("relu", 100, "(5000, 4000)") + "; idf.save_problem(path, system)",
        "idf.load_problem(path)",
    ),
    "max_margin_point": (LABELLED.format(700), "idf.max_margin_point(X, y, 'z^3', width=5000)"),
    "weight_decay_point": (LABELLED.format(700), "idf.weight_decay_point(X, y, 'z^3', width=5000)"),
    "SymbolicSystem.solve": (
        "equations = idf.kkt_equations(config(3, 3, 8, 'z + z^2 + z^3').plant(seed=0, integers=True)[0], samples=3)",
        "equations.solve(time_limit=budget)",
    ),
    "plant": ("", "config(10**5, 10**5, 10**5).plant(seed=0)"),
    "plant, weight decay": ("", "config(784, 500, 5000, 'z^3', regime='weight-decay').plant(seed=0)"),
}
"""What is prepared, and what is measured; without a budget a verb refuses by its estimate."""
