"""What deploy.yaml may say."""

from __future__ import annotations

import pytest

from deploy_pipeline.channels import DeployFile, load_deploy_file
from deploy_pipeline.errors import ChannelFaults
from tests.channels.memory_tree import MemoryTree

REF = "0123456789abcdef0123456789abcdef01234567"
URL = "https://git.example/manifests.git"


def load(text: str) -> DeployFile:
    """The deploy file of a tree that holds nothing else."""
    return load_deploy_file(MemoryTree({"deploy.yaml": text}))


@pytest.mark.parametrize("text", ["", "# every key may be left out", "{}", "channels:\ninclude:\nsources:"])
def test_what_is_left_out_has_its_default(text: str) -> None:
    """An empty file is the same as none."""
    defaults = load_deploy_file(MemoryTree({}))
    assert load(text) == defaults
    assert defaults.channels == "channels"
    assert defaults.include == ("channels/**", "kubernetes/**", "deploy.yaml")
    assert defaults.sources == ()


def test_every_key_is_read() -> None:
    """An older repository keeps its channel files elsewhere and brings files in from others."""
    file = load(f"""
    channels: ci/channels/
    include: [ci/channels/**, kubernetes/**]
    sources:
      - {{url: {URL}, ref: {REF}, from: redis, to: kubernetes/redis/}}
    """)
    (source,) = file.sources
    assert (file.channels, file.include) == ("ci/channels", ("ci/channels/**", "kubernetes/**"))
    assert (source.url, source.ref, source.from_, source.to) == (URL, REF, "redis", "kubernetes/redis")


@pytest.mark.parametrize(
    "url",
    [
        URL,
        "http://127.0.0.1:8080/x.git",
        "ssh://git@git.example:22/x.git",
        "git@git.example:team/x.git",
        "file:///srv/x.git",
        "/srv/x.git",
    ],
)
def test_plain_git_addresses_are_taken(url: str) -> None:
    """Which of them the deployer contacts is its own settings' business."""
    (source,) = load(f"sources: [{{url: '{url}', ref: {REF}, from: ., to: kubernetes/x}}]").sources
    assert source.url == url


def source_text(**changes: str) -> str:
    """A deploy file with one source."""
    entry = {"url": URL, "ref": REF, "from": "redis", "to": "kubernetes/redis", **changes}
    return f"sources: [{{{', '.join(f'{key}: {value}' for key, value in entry.items() if value)}}}]"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("channel: ci", "channel: is no known key; did you mean 'channels'? (line 1)"),
        ("channels: ../ci", "channels: must not contain '..': '../ci' (line 1)"),
        ("channels: /ci", "channels: must be a path from the top of the repository, not '/ci' (line 1)"),
        ("channels: [ci]", "channels: must be text, not a list (line 1)"),
        ("include: channels/**", "include: must be a list, not 'channels/**' (line 1)"),
        ("include: [a, ../**]", "include[1]: must not contain '..': '../**' (line 1)"),
        ("sources: [redis]", "sources[0]: must be a mapping of keys to values, not 'redis' (line 1)"),
        (source_text(ref="main"), "sources[0].ref: must be a full commit id of 40 hexadecimal digits"),
        (source_text(ref=REF[:12]), "sources[0].ref: must be"),
        (source_text(ref=REF.upper()), "sources[0].ref: must be a full commit id"),
        (source_text(ref=""), "sources[0].ref: is missing (line 1)"),
        (source_text(**{"from": ""}), "sources[0].from: is missing (line 1)"),
        (source_text(**{"from": "../x"}), "sources[0].from: must not contain '..'"),
        (source_text(from_="x"), "sources[0].from_: is no known key; did you mean 'from'? (line 1)"),
        (source_text(to="/etc"), "sources[0].to: must be a path from the top of the repository"),
        (source_text(to="-x"), "sources[0].to: must not begin with '-'"),
        (source_text(to="."), "sources[0].to: would lie over this repository's own deploy.yaml (line 1)"),
        (source_text(to="channels/x"), "sources[0].to: would lie over this repository's own channels (line 1)"),
        (
            f"channels: ci/c\n{source_text(to='ci')}",
            "sources[0].to: would lie over this repository's own ci/c (line 2)",
        ),
        (source_text(url="ext::sh -c x"), "sources[0].url: must be an address without blanks"),
        (source_text(url="ext::sh"), "sources[0].url: must be an address that begins with https://"),
        (source_text(url="--upload-pack=x"), "sources[0].url: must be an address that begins with https://"),
        (source_text(url="-a@b:c"), "sources[0].url: must be an address that begins with https://"),
        (source_text(url="ftp://git.example/x"), "sources[0].url: must be an address that begins with https://"),
        (source_text(url="'https://[x'"), "sources[0].url: "),
        (source_text(url="https:git.example/x.git"), "sources[0].url: must be an address that begins with https://"),
        (source_text(url='"https://git.example/\\a"'), "sources[0].url: must be an address without blanks"),
        (source_text(url="relative/path"), "sources[0].url: must be an address that begins with https://"),
    ],
)
def test_a_fault_is_named(text: str, fault: str) -> None:
    """Place and reason of each kind of fault."""
    with pytest.raises(ChannelFaults) as refused:
        load(text)
    assert any(detail.startswith(f"deploy.yaml: {fault}") for detail in refused.value.details)


def test_sources_must_not_lie_over_each_other() -> None:
    """Which of two would win is nowhere said."""
    one, other = source_text(to="kubernetes/a"), source_text(to="kubernetes/a/b")
    with pytest.raises(ChannelFaults) as refused:
        load(f"sources: [{one[10:-1]}, {other[10:-1]}]")
    assert refused.value.details == ("deploy.yaml: sources[1].to: would lie over sources[0] (line 1)",)


@pytest.mark.parametrize("user", ["token", "user:token"])
def test_a_password_in_an_address_is_refused_and_not_repeated(user: str) -> None:
    """It would be in every clone of the repository; the fault must not spread it further."""
    with pytest.raises(ChannelFaults) as refused:
        load(source_text(url=f"https://{user}@git.example/x.git"))
    assert "must not hold a user or password" in str(refused.value)
    assert "token" not in str(refused.value)


def test_all_faults_come_at_once() -> None:
    """Every key with a fault is named in one go."""
    with pytest.raises(ChannelFaults, match=r"^4 faults in deploy\.yaml"):
        load(f"channels: ..\ninclude: [-x]\n{source_text(url='x', ref='main')}")
