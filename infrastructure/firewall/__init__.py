"""What keeps a team's containers from this machine's own ports: one rule of the kernel's firewall.

The machine has an address on each team's network, as it calls the replicas there. By it, and by any
other of its addresses, a replica reaches whatever listens on all addresses or on that one; only a
firewall knows who began a connection. See `docs/decisions/0015-containers-and-their-host.md`.
"""


class FirewallRefused(Exception):
    """The kernel does not take the rule; the message says why, in words."""
