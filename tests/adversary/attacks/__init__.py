"""The attacks, by what they aim at. Importing a file registers its attacks."""

from . import connections, frames, bodies, streams, customers, floods, reads, exports, machine
