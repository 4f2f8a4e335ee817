"""Which addresses listen while a search uses Ray workers, and whether they ask for a token.

    python -m experiments.ray_addresses [--workers 2]

Starts the workers as `nas search --workers N` does, and lists the listening sockets of this process and of all that it
started, from /proc (Linux). A search without --workers and --ray-address opens none.
"""

import argparse
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

LISTENING = "0A"  # the state of a socket in /proc/net/tcp


def processes(root: int) -> set[int]:
    """Return a process and all that it started, by their numbers."""
    parents = {}
    for place in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(place.name)] = int((place / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:  # it has ended
            continue
    found = {root}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def sockets_of(process: int) -> Iterator[str]:
    """Yield the inodes of the sockets of a process."""
    for link in Path(f"/proc/{process}/fd").glob("*"):
        try:
            name = os.readlink(link)
        except OSError:
            continue
        if name.startswith("socket:["):
            yield name[8:-1]


def listening() -> Iterator[tuple[str, int, str]]:
    """Yield (address, port, inode) of every listening TCP socket of this machine."""
    for table, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, *rest = line.split()
            if state == LISTENING:
                address, _, port = local.partition(":")
                words = [int(address[i : i + 8], 16) for i in range(0, len(address), 8)]
                packed = b"".join(struct.pack("<I", word) for word in words)
                yield socket.inet_ntop(family, packed), int(port, 16), rest[5]


def main() -> None:
    """Start workers and list what listens."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    from nas.distributed.cluster import AUTH_MODE, Cluster

    with Cluster(args.workers):
        owners = {inode: process for process in processes(os.getpid()) for inode in sockets_of(process)}
        rows = sorted({(a, p, Path(f"/proc/{owners[i]}/comm").read_text().strip())
                       for a, p, i in listening() if i in owners})  # fmt: skip
    for address, port, name in rows:
        print(f"{address}:{port}  {name}")
    outside = sum(not address.startswith(("127.", "::1")) for address, _, _ in rows)
    mode = os.environ.get(AUTH_MODE, "unset")
    print(f"{len(rows)} addresses listen, {outside} of them on more than this machine; {AUTH_MODE} is {mode}")


if __name__ == "__main__":
    main()
