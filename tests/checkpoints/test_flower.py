"""A round of Flower in one process: the client trains a PyTorch classifier, the server recovers its batch from the payload."""

import numpy as np
import pytest

import identify as idf

torch = pytest.importorskip("torch")
flwr = pytest.importorskip("flwr", exc_type=ImportError)

RATE, STEPS = 0.05, 3


def model():
    torch.manual_seed(0)
    nn = torch.nn
    return nn.Sequential(nn.Linear(14, 60), nn.GELU(), nn.Linear(60, 40), nn.GELU(), nn.Linear(40, 4)).double()


class Client(flwr.client.NumPyClient):
    """Keeps its batch, and takes a few steps of gradient descent on it."""

    def __init__(self, X, y):
        self.X, self.y, self.net = torch.tensor(X), torch.tensor(y), model()

    def fit(self, parameters, config):
        with torch.no_grad():
            for own, given in zip(self.net.parameters(), parameters, strict=True):
                own.copy_(torch.tensor(given))
        optimiser = torch.optim.SGD(self.net.parameters(), lr=config["rate"])
        for _ in range(config["steps"]):
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(self.net(self.X), self.y).backward()
            optimiser.step()
        return [part.detach().numpy() for part in self.net.parameters()], len(self.X), {}


def network(arrays):
    """From the arrays of a payload: weights and biases in turn."""
    return idf.Network(arrays[::2], biases=arrays[1::2], activation="gelu")


def test_the_payload_of_one_round_gives_the_batch_back():
    from flwr.common import Code, FitIns, ndarrays_to_parameters, parameters_to_ndarrays

    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((4, 14)), rng.integers(4, size=4)
    sent = ndarrays_to_parameters([part.detach().numpy() for part in model().parameters()])
    client = Client(X, y).to_client()
    strategy = flwr.server.strategy.FedAvg(on_fit_config_fn=lambda number: {"rate": RATE, "steps": STEPS})
    answer = client.fit(FitIns(sent, strategy.on_fit_config_fn(1)))
    assert answer.status.code is Code.OK
    before, after = (network(parameters_to_ndarrays(each)) for each in (sent, answer.parameters))
    found = idf.recover(idf.KKTSystem.steps(before, after, learning_rate=RATE, steps=STEPS))
    match = found.match(X, np.zeros((4, 4)))
    assert match.errors.max() < 1e-10
    assert (found.labels[match.order] == y).all()
