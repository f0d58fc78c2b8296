"""The attacks that test_attacks.py runs, one module for each part of the program.

A module has a list ATTACKS. An attack is a function of a running Program; it may start clients of its own, and asserts
what its requests are answered. What holds for every attack (the process lives, others are answered in time, memory
comes back) is checked around it.
"""

import dataclasses
import importlib
import pkgutil
from collections.abc import Callable


@dataclasses.dataclass(frozen=True)
class Attack:
    name: str
    run: Callable
    flags: tuple = ()  # of the server; attacks with equal flags share one
    environment: tuple = ()  # (name, value) pairs of the server's environment
    template: str = ""  # the chat template of the model file; empty: its own
    keyed: bool = False  # the server asks for keys, of which only the watchers have one
    tls: bool = False
    refuses: bool = False  # while it lasts, other clients' new answers may be refused with 503, running ones not
    health_s: float = 0.3  # /health is answered within this
    pause_s: float = 1.0  # no pause of another client's stream is longer

    def server(self):
        """What tells its server from others'."""
        return (self.flags, self.environment, self.keyed, self.tls, self.template)


def all_attacks():
    """Returns the attacks of all modules of this package, those with equal servers side by side."""
    found = []
    for module in pkgutil.iter_modules(__path__):
        found += importlib.import_module(f"{__name__}.{module.name}").ATTACKS
    return sorted(found, key=Attack.server)
