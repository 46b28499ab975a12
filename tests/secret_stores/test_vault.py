"""The Vault store on a real server that speaks Vault's API."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from deploy_pipeline.errors import SecretFault, SecretStoreUnreachable, SettingsError
from deploy_pipeline.secret_stores.vault_login import AuthLogin, GivenToken, Proof
from tests.secret_stores.conftest import ROOT_TOKEN, Answers, Bao, answering, as_json, everything_said, running_bao

pytestmark = pytest.mark.xdist_group("vault")


def test_payload_and_version_are_read(bao: Bao) -> None:
    """The newest version, with its number."""
    bao.put("twice", payload="old")
    bao.put("twice", payload="kind: Secret\n", other="of no concern")
    read = bao.store().read("twice")
    assert (read.content, read.version) == (b"kind: Secret\n", "2")


def test_missing_secret(bao: Bao) -> None:
    """The error names the secret and where it was looked for."""
    with pytest.raises(SecretFault, match="there is no secret none in Vault, at secret/deploy/none"):
        bao.store().read("none")


@pytest.mark.parametrize("end", ["delete_latest_version_of_secret", "destroy"])
def test_deleted_version(bao: Bao, end: str) -> None:
    """A version that is gone is told from a secret that never was, destroyed or not."""
    bao.put(f"gone-{end[:3]}", payload="x")
    engine = bao.root.secrets.kv.v2
    if end == "destroy":
        engine.destroy_secret_versions(f"deploy/gone-{end[:3]}", versions=[1])
    else:
        engine.delete_latest_version_of_secret(f"deploy/gone-{end[:3]}")
    with pytest.raises(SecretFault, match=r"newest version of the secret gone-de. is deleted \(version 1 of"):
        bao.store().read(f"gone-{end[:3]}")


def test_other_fields_are_not_quoted(bao: Bao) -> None:
    """A secret without the field, or with no text in it, is named; nothing it holds is."""
    bao.put("odd", password="hunter2")
    bao.put("nested", payload={"password": "hunter2"})
    for name in ("odd", "nested"):
        with pytest.raises(SecretFault, match=f"the secret {name} has no text in its field `payload`") as caught:
            bao.store().read(name)
        assert "hunter2" not in everything_said(caught.value)


def test_field_mount_and_folder_are_settings(bao: Bao) -> None:
    """Another mount, a folder in a folder, another field."""
    bao.root.sys.enable_secrets_engine("kv", path="teams/shop", options={"version": "2"})
    bao.root.secrets.kv.v2.create_or_update_secret("a/b/c", secret={"text": "found"}, mount_point="teams/shop")
    store = bao.store(GivenToken(ROOT_TOKEN), mount="teams/shop", folder="a/b/", field="text")
    assert store.read("c").content == b"found"


def test_too_large_a_payload(bao: Bao) -> None:
    """More than a Kubernetes Secret can hold is refused."""
    bao.put("large", payload="x" * ((1 << 20) + 1))
    with pytest.raises(SecretFault, match="larger than 1048576 bytes"):
        bao.store().read("large")


def test_a_name_cannot_leave_its_folder(bao: Bao) -> None:
    """Names come from branches."""
    for name in ("../other", "a/../../sys", "..", "a?version=1", "a%2f..%2fb"):
        with pytest.raises(SecretFault, match="is not the name of a secret"):
            bao.store(GivenToken(ROOT_TOKEN)).read(name)


def test_what_the_deployer_may_not_read(bao: Bao, caplog: pytest.LogCaptureFixture) -> None:
    """The refusal names the secret and the capability it takes, and shows no token; so do the logs."""
    caplog.set_level(logging.DEBUG)
    token = bao.reader()
    with pytest.raises(SecretFault, match="does not let the deployer read the secret a") as caught:
        bao.store(GivenToken(token), folder="others").read("a")
    assert "`read` on secret/data/others/a" in caught.value.hint
    assert token not in everything_said(caught.value) + caplog.text


def test_a_token_file_is_read_anew(bao: Bao, tmp_path: Path) -> None:
    """Another program keeps the token good; the deployer notices when the one it has is refused."""
    bao.put("renewed", payload="x")
    file = tmp_path / "token"
    file.write_text(bao.reader() + "\n")
    store = bao.store(GivenToken(file))
    store.read("renewed")
    bao.root.auth.token.revoke(file.read_text().strip())
    file.write_text(bao.reader())
    assert store.read("renewed").content == b"x"


def test_a_given_token_that_ended(bao: Bao) -> None:
    """There is no other one: it is refused after one request."""
    bao.put("ended", payload="x")
    token = bao.reader()
    store = bao.store(GivenToken(token))
    bao.root.auth.token.revoke(token)
    with pytest.raises(SecretFault, match="does not let the deployer read"):
        store.read("ended")


@pytest.mark.parametrize("content", ["", "two\nlines", "ümlaut"])
def test_what_cannot_be_a_token(bao: Bao, tmp_path: Path, content: str) -> None:
    """A client would refuse it as a header, by an error that quotes it."""
    file = tmp_path / "token"
    file.write_text(content)
    with pytest.raises(SettingsError, match="holds no token") as caught:
        bao.store(GivenToken(file)).read("a")
    assert not content or content not in everything_said(caught.value)


def _approle(bao: Bao, tmp_path: Path) -> AuthLogin:
    if "approle/" not in bao.root.sys.list_auth_methods()["data"]:
        bao.root.sys.enable_auth_method("approle")
    bao.root.auth.approle.create_or_update_approle("deployer", token_policies=["reader"])
    file = tmp_path / "secret-id"
    file.write_text(bao.root.auth.approle.generate_secret_id("deployer")["data"]["secret_id"])
    role_id = bao.root.auth.approle.read_role_id("deployer")["data"]["role_id"]
    return AuthLogin(Proof("approle", "approle", role_id, file))


def test_login_by_approle(bao: Bao, tmp_path: Path) -> None:
    """It logs in once, and again when its token has ended."""
    bao.put("by-role", payload="x")
    store = bao.store(_approle(bao, tmp_path))
    assert store.read("by-role").content == b"x"
    bao.root.sys.revoke_prefix("auth/approle/login")
    assert store.read("by-role").content == b"x"


def test_a_login_that_is_refused(bao: Bao, tmp_path: Path) -> None:
    """The error names the way of the login, and neither what was sent nor what was answered."""
    login = _approle(bao, tmp_path)
    (tmp_path / "secret-id").write_text("not-the-secret-id")
    with pytest.raises(SettingsError, match=r"refuses the deployer's login \(approle, at auth/approle\)") as caught:
        bao.store(login).read("a")
    assert "not-the-secret-id" not in everything_said(caught.value)


def test_login_by_service_account(bao: Bao, tmp_path: Path) -> None:
    """The pod's token is judged by the cluster (here a server that answers its review); a renewed one is read anew."""
    bao.put("by-pod", payload="x")
    file = tmp_path / "jwt"
    with answering() as cluster:
        cluster.headers = {"Content-Type": "application/json"}
        cluster.status, cluster.body = 201, as_json(_review("deployer"))
        _enable_kubernetes(bao, cluster)
        store = bao.store(AuthLogin(Proof("kubernetes", "kubernetes", "deployer", file)))
        with pytest.raises(SettingsError, match="cannot read"):
            store.read("by-pod")
        file.write_text(_pod_token())
        assert store.read("by-pod").content == b"x"
        assert [path for path, _ in cluster.asked] == ["/apis/authentication.k8s.io/v1/tokenreviews"]
        bao.root.sys.revoke_prefix("auth/kubernetes/login")
        cluster.body = as_json(_review("somebody-else"))
        with pytest.raises(SettingsError, match=r"refuses the deployer's login \(kubernetes"):
            store.read("by-pod")


def _enable_kubernetes(bao: Bao, cluster: Answers) -> None:
    bao.root.sys.enable_secrets_engine("pki")  # an authority is asked for, although this cluster speaks plain HTTP
    authority = bao.root.secrets.pki.generate_root("internal", "cluster")["data"]["certificate"]
    bao.root.sys.enable_auth_method("kubernetes")
    bao.root.auth.kubernetes.configure(
        cluster.url, kubernetes_ca_cert=authority, token_reviewer_jwt=_pod_token(), disable_local_ca_jwt=True
    )
    bao.root.auth.kubernetes.create_role("deployer", ["deployer"], ["delivery"], policies=["reader"])


def _review(account: str) -> dict[str, Any]:
    user = {"username": f"system:serviceaccount:delivery:{account}", "uid": "1"}
    kind = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview"}
    return kind | {"status": {"authenticated": True, "user": user, "audiences": ["https://cluster"]}}


def _pod_token() -> str:
    account = {"namespace": "delivery", "serviceaccount": {"name": "deployer", "uid": "1"}}
    claims = {"kubernetes.io": account, "sub": "system:serviceaccount:delivery:deployer", "aud": ["https://cluster"]}
    return jwt.encode(
        claims | {"nbf": 1_700_000_000, "exp": 4_000_000_000},
        ec.generate_private_key(ec.SECP256R1()),
        algorithm="ES256",
    )


def test_tls_by_an_authority_of_its_own(tmp_path: Path) -> None:
    """With the file of the authority it is trusted, without it is not."""
    certificates = tmp_path / "certificates"
    certificates.mkdir()
    with running_bao(tmp_path / "log", certificates=certificates) as server:
        server.put("a", payload="x")
        login = GivenToken(ROOT_TOKEN)
        assert server.store(login, ca_file=certificates / "vault-ca.pem").read("a").content == b"x"
        with pytest.raises(SecretStoreUnreachable, match="does not answer: SSLError"):
            server.store(login).read("a")


def test_a_sealed_server(tmp_path: Path) -> None:
    """It may be unsealed: the read may be tried again."""
    with running_bao(tmp_path / "log") as sealed:
        store = sealed.store()
        sealed.root.sys.seal()
        with pytest.raises(SecretStoreUnreachable, match="it is sealed or in maintenance"):
            store.read("a")
