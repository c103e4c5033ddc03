"""How an engine asks the small application `parcelle-test/web` whether it is well.

In bash: a Python that loads its libraries for every question, once a second for every container, took most of what the
machine had. `tests/blueprints/stack` and the simulated vendor's repository ask in the same way.
"""

from __future__ import annotations

# As it is written in a compose file, where a dollar sign is two.
_WORDS = (
    r'exec 3<>/dev/tcp/127.0.0.1/8080 && printf "GET /healthz HTTP/1.0\r\n\r\n" >&3 && '
    'mapfile -t answer <&3 && echo "$${answer[@]}" && [[ $$answer == *" 200 "* ]]'
)
ASKING = ("CMD", "bash", "-c", _WORDS)
