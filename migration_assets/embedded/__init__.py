"""A real PostgreSQL and a real MongoDB on this machine, for development, tests and the demo.

What belongs here: starting, finding, stopping and killing the two servers that come from PyPI
wheels, the `embedded` extra (design, section 11). What does not: anything that a migration between
servers of one's own needs.

``servers`` is both of them in a directory, ``server`` what they have in common, ``postgres`` and
``mongod`` what they have not; ``machine`` is processes, accounts and ports, ``databases`` what is
on a server.

A directory holds all that there is to delete, once the servers are stopped:

    <directory>/postgres/  data/  server.json  server.log  lock  password
    <directory>/mongod/    data/  server.json  server.log  lock

Both servers are daemons that survive the process that started them. They listen on 127.0.0.1 unless
told otherwise, without unix sockets (whose paths may not be longer than 107 bytes). PostgreSQL asks
for a random password (SCRAM). **mongod runs without authentication**: every account of this machine
can read and write it, which will do for a demo and not for the documents of real customers.

Started by root, the servers run as the account that owns their data: at first the system account
`embedded_postgres`, created when absent, since PostgreSQL refuses to run as root. Directories above
the data and the programs that this account cannot pass get the search bit (`chmod o+x`), with a
warning.
"""

from __future__ import annotations

from migration_assets.embedded.databases import Urls, create_database, fresh_database
from migration_assets.embedded.machine import EmbeddedServerError
from migration_assets.embedded.server import ServerStatus
from migration_assets.embedded.servers import EmbeddedServers, default_directory

__all__ = [
    "EmbeddedServerError",
    "EmbeddedServers",
    "ServerStatus",
    "Urls",
    "create_database",
    "default_directory",
    "fresh_database",
]
