"""Who is whose neighbour: a ring of all clients in random order, each next to the k/2 on either side.

Two neighbours hide their vectors behind a common mask and hold shares of each other's keys, so a client's
work grows with k, not with n.  For k = n − 1 every two clients are neighbours (Bonawitz et al.).

The order follows from the directory's seed alone, which is drawn after the list of clients is closed by
whoever vouches for it.  The server has no part in it: it chooses neither seed nor session nor list, and the
graph is the same in every round, so that it has one try and not one per round.  For the same reason clients
that do not come stay in the graph as drop-outs: a graph over those who came would be the server's choice.

Threat   who colludes with the server is settled before the seed is drawn, and for as long as the directory
         serves.  The seed is public, so who can corrupt clients of its choice afterwards takes the neighbours
         of one: 2t − k clients read it, whatever n is.  Against that, all must be neighbours of all.  Whoever
         draws the seed is trusted not to draw it again until it likes the graph; it is trusted with the keys
         already.

Source   Bell, Bonawitz, Gascón, Lepoint, Raykova, ePrint 2020/704 (Harary graphs with permuted nodes).  We
         depart from its protocol against a lying server, where each client draws its own neighbours in every
         execution and the server commits to all keys first: the directory has settled both.
"""

from __future__ import annotations

import numpy as np

from mpc.prg import Stream
from mpc.ring import Z64, Spec


class Graph:
    """The neighbours of ``clients`` clients, ``degree`` each: an even number, or all others."""

    def __init__(self, clients: int, degree: int, seed: bytes) -> None:
        self.clients, self.degree = clients, degree
        draws = Stream(seed, "aggregation graph").draw(Spec(Z64, (clients,))).data
        self._order = np.argsort(draws, kind="stable")
        self._where = np.empty_like(self._order)
        self._where[self._order] = np.arange(clients)

    def neighbours(self, client: int) -> tuple[int, ...]:
        """The neighbours of a client, in ascending order."""
        if self.degree == self.clients - 1:
            return tuple(i for i in range(self.clients) if i != client)
        half = self.degree // 2
        steps = np.concatenate([np.arange(-half, 0), np.arange(1, half + 1)])
        return tuple(np.sort(self._order[(self._where[client] + steps) % self.clients]).tolist())
