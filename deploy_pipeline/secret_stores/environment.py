"""The deployer's environment as secret store: for pods whose platform brings secrets in as variables."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Mapping

from deploy_pipeline.errors import SecretFault
from deploy_pipeline.secret_stores.store import StoredSecret, check_name, check_size

PREFIX = "DEPLOY_SECRET_PAYLOAD_"
"""Tools never see these: no variable that begins with ``DEPLOY_`` is handed down to them."""


class EnvironmentStore:
    """One variable a name: the prefix, then the name in capitals, all but letters and digits as ``_``."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._environment = environment
        self._names: dict[str, str] = {}
        self._lock = threading.Lock()

    def read(self, name: str) -> StoredSecret:
        """The variable's value. Raises SecretFault for two names with one variable, and if it is not set."""
        check_name(name)
        variable = variable_of(name)
        with self._lock:
            first = self._names.setdefault(variable, name)
        if first != name:
            raise SecretFault(
                f"the secrets {first} and {name} have the same variable {variable}", hint="give one another name"
            )
        value = self._environment.get(variable)
        if value is None:
            raise SecretFault(f"there is no secret {name} in the environment", hint=f"set {variable}")
        content = value.encode(errors="surrogateescape")
        check_size(name, len(content))
        return StoredSecret(name, content)


def variable_of(name: str) -> str:
    """The variable that holds a secret."""
    return PREFIX + re.sub("[^A-Z0-9]", "_", name.upper())
