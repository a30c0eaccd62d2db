"""Secure aggregation: many clients, each with a private vector, and servers that learn the sum and nothing
else.

A vector is ``uint32``, summed modulo 2^bits; a few ``uint64`` values (weights, metrics) travel beside it
under the same masks.  What real numbers become of it is an encoder's business, before and after.

Nothing here does input or output: bytes in, bytes out, and somebody else carries them (this process, TLS,
Flower).

    =====================  =================================  ===============================================
                           one server                         several servers, one of them honest
    =====================  =================================  ===============================================
    agreed beforehand      ``directory``, ``terms.Terms``     ``directory``, ``servers.Servers``
    a client               ``client.Client``: answers five    ``servers.contribute``: one message for each
                           messages                           server
    a server               ``server.Server``: asks, takes     ``servers.Aggregator`` takes; ``servers.total``
                           answers, advances at a deadline    among the servers, over a ``Session``
    all in one process     ``local.aggregate``                ``servers.total`` in ``mpc.local(...)``
    means of real vectors  ``federation.Federation``          an ``Encoding`` before and after
    drop-outs              at any time, up to the threshold   at any time
    bad vectors            cannot be seen                     range and norm are checked on the shares
    =====================  =================================  ===============================================

    directory = Directory.close({name: verification_key, ...})           # by whom everybody trusts with it
    terms = Terms.choose(directory, "training", 7, length=10**6)         # by each side for itself

    client = Client(terms, "alice", signing_key, vector)                 # at each client
    for message in connection: connection.send(client.answer(message))

    server = Server(terms)                                               # at the server
    while server.phase:
        for name, message in server.requests(): send(name, message)
        while server.waiting and not deadline: server.receive(*next_answer())
        server.advance()
    server.result.vector, server.result.clients, server.faults

Keys are fresh in every round: a drop-out's mask key is opened, so it can serve one round only, and a channel
key that serves one round leaves nothing to an attacker who comes later.  What lives longer is the signing
key."""
