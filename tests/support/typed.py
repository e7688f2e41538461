"""What users write, for mypy to read: a call that the annotations refuse is an error of ``mypy``, which CI runs. Not run itself."""

import numpy as np

import identify as idf


def problems() -> tuple[idf.Configuration, idf.KKTSystem]:
    config = idf.Configuration(inputs=3, samples=2, width=4, activation="z + z^2")
    idf.Configuration(inputs=3, samples=2, width=(4, 5), activation="relu", outputs=2, layers=(1, 2))
    net = idf.TwoLayerNetwork([[1.0, 2.0]], [1.0], "z^3", bias=[0.5])
    idf.TwoLayerNetwork(np.ones((3, 2)), np.ones(3), activation=idf.Activation.parse("z^3"))
    deep = idf.Network([np.eye(2), [[1.0, 2.0]]], biases=None, activation="relu")
    idf.KKTSystem.gradient(deep, layers={1: np.eye(2)})
    idf.KKTSystem.weight_decay(net, decay=1e-3)
    idf.KKTSystem.max_margin(net, labels=[1, -1])
    idf.KKTSystem.lazy(deep, deep)
    return config, idf.KKTSystem.gradient(net, W=[[1.0, 2.0]], a=[1.0])


def verbs(config: idf.Configuration, system: idf.KKTSystem) -> bool:
    reports = idf.check(config, seed=0), idf.check(system, samples=2), idf.check(system, data=([[1.0, 2.0]], [1.0]))
    found = idf.recover(system, samples=2, method="auto", data=([[1.0, 2.0]], [1.0]))
    idf.certify(system, found).save("proof.json")
    idf.certify(system, (np.ones((1, 2)), [1.0]))
    idf.kkt_equations(config).to_latex()
    idf.kkt_equations(system, samples=2)
    idf.defences(system, [[1.0, 2.0]], [1.0], noise=[1e-3])
    idf.audit("model.npz", activation="relu").save("audit")
    idf.save_problem("problem.npz", system, [[1.0, 2.0]], [1.0])
    idf.max_margin_point([[1.0, 0.0]], [1], "z^3")
    idf.weight_decay_point(np.eye(2), [1, -1], "z^3")
    idf.sweep({"inputs": [3], "samples": [2], "width": 4, "activation": "z + z^3"}, store="runs")
    idf.theorems["interpolation"].verify(trials=1)
    residual: float = system.residual(found.X + 1, found.c)
    worst: float = float(found.match([[1.0, 2.0]], [1.0]).errors.max())
    unique: int | None = idf.largest_identifiable(config).unique
    return idf.verify("proof.json").is_valid and residual < worst and unique is not None and reports[0].verdict is idf.Verdict.UNIQUE
