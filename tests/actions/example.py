"""Looking at the example in the cluster, and changing what its app ``web`` has in the channel ``test``."""

from __future__ import annotations

from tests.actions.conftest import World

KUSTOMIZATION = "kubernetes/apps/overlays/web-test/kustomization.yaml"
CHANNEL = "channels/test.yaml"

WEB = """
apiVersion: v1
kind: ConfigMap
metadata: {name: extra, namespace: web}
data: {mode: slow}
"""


def states(world: World) -> dict[str, str]:
    """How each app of the last release fared."""
    return {result.app: result.state for result in world.apps}


def versions(world: World) -> dict[str, str]:
    """The resource version of every object."""
    return {name: item["metadata"]["resourceVersion"] for name, item in world.dump().items()}


def add_resource(world: World, name: str, manifest: str) -> None:
    """Add a manifest to the web app of the test channel."""
    text = world.origin.show("main", KUSTOMIZATION)
    folder = KUSTOMIZATION.rpartition("/")[0]
    resources = text.replace("resources:\n", f"resources:\n  - {name}.yaml\n")
    world.origin.commit("main", {KUSTOMIZATION: resources, f"{folder}/{name}.yaml": manifest})


def set_image(world: World, image: str) -> None:
    """Run another image in the web app of the test channel (one whose tag the overlay does not set)."""
    text = world.origin.show("main", KUSTOMIZATION)
    folder = KUSTOMIZATION.rpartition("/")[0]
    patch = f"- op: replace\n  path: /spec/template/spec/containers/0/image\n  value: {image}\n"
    if "image-patch.yaml" not in text:
        text += "\n" if text.endswith("\n") else "\n\n"
        entry = "  - path: image-patch.yaml\n    target: {kind: Deployment}\n"
        text = text.replace("patches:\n", f"patches:\n{entry}") if "patches:\n" in text else f"{text}patches:\n{entry}"
    world.origin.commit("main", {KUSTOMIZATION: text, f"{folder}/image-patch.yaml": patch})
