"""Files that SOPS encrypted, decrypted by its own program with an age key; the plain text never lies on a disk.

The program works in the box that rendering works in: a file that names a key service elsewhere makes it ask nobody,
with nobody's credentials.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

from deploy_pipeline.errors import SecretFault, SettingsError, ToolStopped
from deploy_pipeline.private_files import private_directory
from deploy_pipeline.secret_stores.store import LARGEST
from deploy_pipeline.settings import tool_path
from deploy_pipeline.tools import isolated_environment, run_tool

_TIMEOUT = 30.0  # seconds
_COMMAND = ("decrypt", "--input-type", "yaml", "--output-type", "yaml", "--filename-override", "payload.yaml")


@dataclass(frozen=True)
class Sops:
    """The key that files are decrypted with, in a file; None: none."""

    age_key_file: Path | None = None

    def decrypt(self, name: str, content: bytes) -> bytes:
        """The plain text. Raises SecretFault if the key is not for it or it was changed, SettingsError without sops.

        What sops prints of an error is not quoted.
        """
        program = _program(name)
        with private_directory() as home:
            env = isolated_environment(home)
            if self.age_key_file:
                env["SOPS_AGE_KEY_FILE"] = str(self.age_key_file.absolute())
            try:
                done = run_tool(
                    [program, *_COMMAND, "/dev/stdin"],
                    cwd=home,
                    env=env,
                    timeout=_TIMEOUT,
                    output_limit=2 * LARGEST,
                    stdin=content,
                    offline=True,
                )
            except ToolStopped as stopped:
                raise SecretFault(f"the secret {name} cannot be decrypted: {stopped.message}") from None
        if done.returncode:
            raise SecretFault(
                f"the secret {name} cannot be decrypted: sops ended with status {done.returncode}",
                hint=_hint(self.age_key_file),
            )
        return done.stdout


def _program(name: str) -> str:
    try:
        return tool_path("sops")
    except SettingsError as missing:
        raise SettingsError(
            f"the secret {name} is encrypted by SOPS, but {missing.message}",
            hint="install sops 3.9 or later for the deployer, or store the secret in plain",
        ) from None


def _hint(key_file: Path | None) -> str:
    if key_file is None:
        return "set DEPLOY_SOPS_AGE_KEY_FILE to the file with the deployer's age key"
    if not key_file.is_file():
        return f"DEPLOY_SOPS_AGE_KEY_FILE names {key_file}, which is not there"
    return f"try `sops decrypt` with SOPS_AGE_KEY_FILE={key_file}: is the key one of the file's recipients?"


def is_encrypted(content: bytes) -> bool:
    """Whether it is a YAML mapping with the key ``sops`` at its top, in any of its documents."""
    if b"sops" not in content:
        return False
    try:
        nodes = list(yaml.compose_all(content, Loader=yaml.SafeLoader))
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError):
        return False  # no payload either: who reads it says so
    return any(
        isinstance(node, yaml.MappingNode) and any(getattr(key, "value", None) == "sops" for key, _ in node.value)
        for node in nodes
    )
