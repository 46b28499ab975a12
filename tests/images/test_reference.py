"""Image references: what they name, and whether a prefix covers it."""

from __future__ import annotations

import pytest

from deploy_pipeline.images import ImageReference

DIGEST = f"sha256:{'a' * 64}"


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("nginx", "docker.io/library/nginx:latest"),
        ("nginx:1.27", "docker.io/library/nginx:1.27"),
        ("team/app", "docker.io/team/app:latest"),
        ("docker.io/nginx", "docker.io/library/nginx:latest"),
        ("index.docker.io/team/app:1", "docker.io/team/app:1"),
        ("ghcr.io/team/app:1", "ghcr.io/team/app:1"),
        ("GHCR.io/team/app:1", "ghcr.io/team/app:1"),
        ("Localhost/app", "localhost/app:latest"),
        ("localhost/app", "localhost/app:latest"),
        ("localhost:5000/app", "localhost:5000/app:latest"),
        ("registry:5000/a/b/c:x", "registry:5000/a/b/c:x"),
        (f"ghcr.io/team/app@{DIGEST}", f"ghcr.io/team/app@{DIGEST}"),
        (f"ghcr.io/team/app:1@{DIGEST}", f"ghcr.io/team/app:1@{DIGEST}"),
    ],
)
def test_a_reference_is_read_as_container_runtimes_read_it(text: str, full: str) -> None:
    """Registry, namespace and tag are filled in."""
    assert str(ImageReference.parse(text)) == full


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            " nginx",
            "nginx ",
            "nginx\n",
            "Nginx",
            "nginx:",
            "nginx:-1",
            "nginx@sha256:abc",
            "a//b",
            "/app",
            "ghcr.io/",
        ),
        *(
            "ghcr.io/../app",
            "ghcr.io/app?x",
            "ghcr.io/app#1",
            "https://ghcr.io/app",
            "user@ghcr.io/app",
            "ghcr.io\\app",
        ),
        *("ghcr.io:x/app", f"ghcr.io/{'a' * 256}", f"nginx:{'a' * 129}", "${IMAGE}", "<no value>"),
    ],
)
def test_what_is_no_reference_is_refused(text: str) -> None:
    """Two programs could read it in two ways."""
    with pytest.raises(ValueError, match="is no image reference"):
        ImageReference.parse(text)


@pytest.mark.parametrize(
    ("image", "prefix", "covered"),
    [
        ("nginx", "docker.io/library", True),
        ("nginx", "docker.io", True),
        ("team/nginx", "docker.io/library", False),
        ("ghcr.io/team/app", "ghcr.io/team", True),
        ("ghcr.io/team/app", "ghcr.io/team/app", True),
        ("ghcr.io/team-evil/app", "ghcr.io/team", False),
        ("ghcr.io.evil.example/team/app", "ghcr.io", False),
        ("ghcr.io:444/team/app", "ghcr.io", False),
    ],
)
def test_a_prefix_covers_whole_parts(image: str, prefix: str, covered: bool) -> None:
    """A name that merely begins alike is another one."""
    assert ImageReference.parse(image).is_within(prefix) is covered
