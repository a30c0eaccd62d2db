"""A small neural network in PyTorch, behind the same names as ``softmax.py``.  Needs ``pip install
'mpc-engine[torch]'``.
"""

import torch
from torch.nn.functional import cross_entropy
from torch.nn.utils import parameters_to_vector, vector_to_parameters

METHODS = {"fedavg": (5, 0.5, 1.0), "fedsgd": (1, 1.0, 0.7)}

# a few dozen examples: threads would only wait for each other
torch.set_num_threads(1)
torch.manual_seed(7)  # all begin with the same network, which is public
net = torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10))
size = sum(p.numel() for p in net.parameters())
_start = parameters_to_vector(net.parameters()).detach().double().numpy()


def start():
    return _start.copy()


def update(theta, x, y, steps, rate):
    """The way the network goes in some steps down the gradient of the mean loss on these examples."""
    _put(theta)
    optimizer, x, y = (
        torch.optim.SGD(net.parameters(), rate),
        torch.tensor(x, dtype=torch.float32),
        torch.tensor(y),
    )
    for _ in range(steps):
        optimizer.zero_grad()
        cross_entropy(net(x), y).backward()
        optimizer.step()
    return parameters_to_vector(net.parameters()).detach().double().numpy() - theta


def accuracy(theta, x, y):
    _put(theta)
    with torch.no_grad():
        return float(
            (net(torch.tensor(x, dtype=torch.float32)).argmax(dim=1) == torch.tensor(y)).double().mean()
        )


def _put(theta):
    vector_to_parameters(torch.tensor(theta, dtype=torch.float32), net.parameters())
