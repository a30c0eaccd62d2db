"""A sealed-bid auction: the winner pays what the runner-up bid, and no other bid is shown.

A process for each bidder:

    mpc run examples/sealed_bid_auction.py -n 5
"""

import numpy as np

import mpc

BIDS = [310.0, 425.5, 398.0, 402.25, 150.0]  # each bidder reads only its own


def main(party):
    bids = np.stack(party.secret_from_each(BIDS[party.id]))
    winner = bids.argmax()
    # the winning bid, wherever it is, left out
    others = np.where(winner == np.arange(len(bids)), 0.0, bids)
    winner, price = party.reveal(winner, others.max())
    return f"bidder {winner} wins and pays {price:.2f}"


if __name__ == "__main__":
    print(mpc.local(parties=5).run(main)[0])
