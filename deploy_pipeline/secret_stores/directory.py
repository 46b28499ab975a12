"""A directory as secret store: one file a name, as a mounted Kubernetes Secret offers them; plain, or of SOPS."""

from __future__ import annotations

from pathlib import Path

from deploy_pipeline.errors import SecretFault, SecretStoreUnreachable
from deploy_pipeline.secret_stores.sops import Sops, is_encrypted
from deploy_pipeline.secret_stores.store import StoredSecret, check_name, check_size

_PLAIN = ("", ".yaml", ".yml")
_ENCRYPTED = (".sops.yaml", ".sops.yml", ".enc.yaml", ".enc.yml")


class DirectoryStore:
    """``<name>``, ``<name>.yaml`` or ``<name>.yml``; ``<name>.sops.yaml`` and ``<name>.enc.yaml`` must be encrypted."""

    def __init__(self, root: Path, sops: Sops | None = None) -> None:
        self._root = root
        self._sops = sops or Sops()

    def read(self, name: str) -> StoredSecret:
        """The file's content, decrypted; links are followed inside the directory only."""
        check_name(name)
        root = self._root.resolve()
        found = [root / f"{name}{ending}" for ending in (*_PLAIN, *_ENCRYPTED) if (root / f"{name}{ending}").is_file()]
        if len(found) > 1:
            files = ", ".join(path.name for path in found)
            raise SecretFault(f"there are several files for the secret {name} in {self._root}: {files}")
        if found:
            return StoredSecret(name, self._content(found[0], name, root))
        if not root.is_dir():
            raise SecretStoreUnreachable(
                f"the secret directory {self._root} is not there", hint="check DEPLOY_SECRETS_DIR"
            )
        raise SecretFault(f"there is no secret {name} in {self._root}", hint=f"add the file {name}.yaml there")

    def _content(self, path: Path, name: str, root: Path) -> bytes:
        if not path.resolve().is_relative_to(root):
            raise SecretFault(f"the secret {name} is a link that leaves {self._root}")
        try:
            check_size(name, path.stat().st_size)
            content = path.read_bytes()
        except OSError as error:
            raise SecretStoreUnreachable(f"the secret {name} cannot be read: {error.strerror}") from None
        if is_encrypted(content):
            return self._sops.decrypt(name, content)
        if path.name.endswith(_ENCRYPTED):
            raise SecretFault(
                f"the secret {name} is not encrypted, although its file {path.name} says so",
                hint=f"encrypt it (`sops encrypt --in-place`), or name it {name}.yaml",
            )
        return content
