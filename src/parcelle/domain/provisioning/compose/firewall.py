"""What instances may not reach from a Docker Engine's machine, as rules for that machine's firewall.

Docker keeps the networks of two instances apart, but lets each of them talk to whatever the machine talks to: its other
services, its neighbours on the private network, and the address under which clouds hand out the machine's credentials.
"""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Final

# Link-local (cloud metadata), the private ranges, carrier-grade NAT, and what must never be routed.
PRIVATE: Final = ("169.254.0.0/16", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "127.0.0.0/8")
# The ingress: instances may call their own public address, which may be this machine's.
WEB: Final = (80, 443)
CHAIN: Final = "PARCELLE"

_SCRIPT: Final = """\
#!/bin/sh
# What instances of Parcelle, addresses {pool}, may not reach. Run it as root on the Docker Engine's machine, after
# Docker was started and whenever the machine was; running it again changes nothing.
set -eu
iptables-restore --wait --noflush <<'RULES'
*filter
:{chain} - [0:0]
:{chain}-HOST - [0:0]
-A {chain} -m conntrack --ctstate ESTABLISHED,RELATED -j RETURN
-A {chain} -d {pool} -j RETURN
-A {chain} -p udp --dport 53 -j RETURN
-A {chain} -p tcp --dport 53 -j RETURN
{rejected}
-A {chain}-HOST -m conntrack --ctstate ESTABLISHED,RELATED -j RETURN
-A {chain}-HOST -p tcp -m multiport --dports {web} -j RETURN
-A {chain}-HOST -j REJECT
COMMIT
RULES
jump() {{ iptables --wait --check "$@" 2>/dev/null || iptables --wait --insert "$@"; }}
jump DOCKER-USER --source {pool} --jump {chain}
jump INPUT --source {pool} --jump {chain}-HOST
"""


def script(pool: str, *, chain: str = CHAIN) -> str:
    """A shell script that puts the rules in place for the networks in `pool` (CIDR, IPv4).

    Between two instances Docker's own rules decide, which come after these. Names are still looked up anywhere,
    because a machine's nameserver often has a private address.
    """
    rejected = "\n".join(f"-A {chain} -d {network} -j REJECT" for network in PRIVATE)
    web = ",".join(map(str, WEB))
    return _SCRIPT.format(pool=IPv4Network(pool), chain=chain, rejected=rejected, web=web)
