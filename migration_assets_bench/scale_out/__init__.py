"""The proof that a migration goes over several hosts, and goes on where one of them dies: `make scale`.

Hosts are network namespaces of this machine with a file system that only they can write to, an address
and a name of their own. What they share is the network: the two databases, Dagster's storage, the broker.
"""
