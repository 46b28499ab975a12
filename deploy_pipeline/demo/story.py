"""What happens in the demo, step by step, and what must be true after each.

The clusters are asked with kubectl and helm, the repository with git, and Dagster over its web server: the deployer's
own code gives no evidence about itself.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from deploy_pipeline.demo.flow import Flow
from deploy_pipeline.demo.world import CHANNELS, World
from deploy_pipeline.errors import FailedError

FEATURE = "new-headline"
BROKEN = "broken-image"

_WEB_TEST = "kubernetes/apps/overlays/web-test/kustomization.yaml"
_NEW_HEADLINE = "<h1>Feeds, live</h1>"
_FEATURE_EDITS = {
    "kubernetes/apps/base/web/index.html": ("<h1>Feeds</h1>", _NEW_HEADLINE),
    "kubernetes/apps/values/metabase.yaml": ("host: postgres.metabase.svc", "host: reports.metabase.svc"),
}
_BREAKING_EDITS = {
    _WEB_TEST: ('newTag: "1.8.0"', "newTag: broken"),
    # Nobody wants to watch half a minute of waiting.
    "kubernetes/apps/base/web/deployment.yaml": ("progressDeadlineSeconds: 30", "progressDeadlineSeconds: 8"),
}
# A secret of the app archiver, in the store and in its Secret; both values are made up.
ROTATED_FILE = "archiver_feed-secrets.yaml"
_ROTATED_KEY = "FEED_API_KEY"
_ROTATED = ("not-a-real-api-key", "still-not-a-real-key")
_FIXING_EDITS = {_WEB_TEST: ("newTag: broken", 'newTag: "1.8.1"')}


@dataclass(frozen=True)
class Step:
    """One step: ``act`` does it, checks it, and returns what is to be told of it."""

    title: str
    act: Callable[[], str]


class Story:
    """The demo's story; later steps build on what earlier ones left."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._flow = Flow(world)
        self._clusters = world.clusters
        self._released: dict[str, str] = {}
        self._digest = ""

    def opening(self) -> tuple[Step, ...]:
        """The part that the demo for people begins with."""
        return (
            Step("the example becomes a candidate", self.render_main),
            Step("it is promoted to both channels", self.bootstrap),
            Step(f"a secret is rotated, and {FEATURE} is pushed: a candidate and its change set", self.push_feature),
        )

    def steps(self) -> tuple[Step, ...]:
        """The whole story."""
        return (
            *self.opening(),
            Step(f"{FEATURE} is promoted to test", self.promote_feature),
            Step(f"{FEATURE} is merged to main, main is promoted to prod", self.promote_main),
            Step("somebody scales a Deployment of prod by hand", self.make_drift),
            Step(f"{BROKEN} is promoted to test", self.break_test),
            Step("a fix is pushed and promoted", self.repair_test),
            Step("test is released once more", self.release_again),
        )

    def render_main(self) -> str:
        """The sensor notices main, and its candidate has the final manifests of every app."""
        main = self._world.repository.heads()["main"]
        candidate = self._flow.candidate("main", main)
        self._world.repository.git("fetch", "--quiet", "origin")
        files = self._world.repository.git("ls-tree", "-r", "--name-only", candidate, "rendered/").split()
        wanted = [f"rendered/{channel}/{app}.yaml" for channel in CHANNELS for app in ("archiver", "metabase", "web")]
        expect("the manifests of the candidate", sorted(files), sorted(wanted))
        return f"candidates/main is at {candidate[:12]} with {len(files)} manifests"

    def bootstrap(self) -> str:
        """The release branches come into being by promotions, and the empty clusters get everything."""
        heads = self._flow.promote(*CHANNELS, branch="main")
        self._released = dict(zip(CHANNELS, heads, strict=True))
        for channel in CHANNELS:
            self._expect_released(channel)
            expect(f"the Helm release in {channel}", self._metabase(channel), ("deployed", 1))
            expect(f"the secrets of {channel}", "feed-secrets" in self._names(channel, "secrets", "archiver"), True)
        self._expect_web("test", image="registry.example/feeds/web:1.8.0", replicas=1)
        self._expect_web("prod", image="registry.example/feeds/web:1.7.3", replicas=2)
        return "kubectl and helm find every app in both clusters"

    def push_feature(self) -> str:
        """A push changes nothing but the candidate; its change set says exactly what would change."""
        before = self._versions("test")
        self._rotate()
        pushed = self._world.repository.push(FEATURE, _FEATURE_EDITS, "A new headline", start="main")
        self._flow.candidate(FEATURE, pushed)
        seen = self._flow.change_set("test", FEATURE)
        changes = {operation: number for operation, number in seen.counts.items() if operation != "none" and number}
        expect("the change set for test", changes, {"create": 1, "update": 3, "prune": 1})
        expect("the change set names the new headline", _NEW_HEADLINE in seen.markdown, True)
        expect("the objects of test while nothing was promoted", self._versions("test"), before)
        self._digest = seen.digest
        masks = " → ".join(masked_change(seen.markdown))
        return f"1 created, 3 changed, 1 pruned; {_ROTATED_KEY} {masks}; digest {seen.digest[:19]}…"

    def promote_feature(self) -> str:
        """What was reviewed, named by its digest, is what test then runs; prod is left alone."""
        prod = self._versions("prod")
        self._promote("test", FEATURE, digest=self._digest)
        self._expect_headline("test")
        key = self._clusters.get("test", "secret", "feed-secrets", "archiver")["data"][_ROTATED_KEY]
        expect("the rotated key in test", base64.b64decode(key).decode(), _ROTATED[1])
        expect("the Helm release in test", self._metabase("test"), ("deployed", 2))
        expect("the objects of prod", self._versions("prod"), prod)
        return f"releases/test is at {self._released['test'][:12]}, and so is the cluster"

    def promote_main(self) -> str:
        """The same change goes to prod by way of main; the merged branch leaves nothing behind."""
        merged = self._world.repository.merge(FEATURE, "main")
        self._flow.candidate("main", merged)
        self._promote("prod", "main")
        self._expect_headline("prod")
        self._flow.gone(FEATURE)
        return f"releases/prod is at {self._released['prod'][:12]}, and so is the cluster"

    def make_drift(self) -> str:
        """A change by hand is found, for the app it was made to and for no other."""
        self._clusters.kubectl("prod", "scale", "deployment/web", "--namespace=web", "--replicas=5")
        run = self._flow.launch("check_drift", "prod")
        drifted = [check for check in self._flow.log(run).checks if check.name == "drift" and not check.passed]
        expect("the apps of prod that drifted", [check.app for check in drifted], ["web"])
        expect("the replicas of prod, which nobody asked to heal", self._web("prod")["spec"]["replicas"], 5)
        return f"web: {drifted[0].description}"

    def break_test(self) -> str:
        """A release that does not become ready fails with the reason, and says what ran before; that still runs."""
        good = self._released["test"]
        pushed = self._world.repository.push(BROKEN, _BREAKING_EDITS, "Try the new build", start="main")
        self._flow.candidate(BROKEN, pushed)
        broken = self._put("test", BROKEN)
        failed = self._flow.released("test", broken)
        expect("the release of an image that does not exist", failed.status, "FAILURE")
        reason = self._flow.log(failed).failure
        for words in ("registry.example/feeds/web:broken", "ImagePull", f"the last good state is {good[:12]}"):
            expect(f"that the reason says {words!r}:\n{reason}\n", words in reason, True)
        expect("the pods of web that still serve", self._web("test")["status"].get("availableReplicas"), 1)
        return next(line.strip(" -") for line in reason.splitlines() if "ImagePull" in line)

    def repair_test(self) -> str:
        """A fix goes the same way, over what the failed release left."""
        pushed = self._world.repository.push(BROKEN, _FIXING_EDITS, "Use the build that exists")
        self._flow.candidate(BROKEN, pushed)
        self._promote("test", BROKEN)
        self._expect_web("test", image="registry.example/feeds/web:1.8.1", replicas=1)
        return f"test runs {self._released['test'][:12]}"

    def release_again(self) -> str:
        """Releasing what is released touches nothing."""
        before = self._versions("test")
        run = self._flow.launch("release_channel", "test")
        expect("the objects of test", self._versions("test"), before)
        return f"no object was touched; {run.seconds:.1f} s in the run"

    def _rotate(self) -> None:
        """Somebody puts a new value into the secret store."""
        file = self._world.home.secrets / ROTATED_FILE
        file.write_text(file.read_text().replace(*_ROTATED))

    def _promote(self, channel: str, branch: str, *, digest: str = "") -> None:
        """Promote, and expect that the sensor's release of it succeeds."""
        self._released[channel] = self._put(channel, branch, digest=digest)
        self._expect_released(channel)

    def _put(self, channel: str, branch: str, *, digest: str = "") -> str:
        """Put a candidate on a release branch, as whatever ``digest`` names; returns the commit."""
        (commit,) = self._flow.promote(channel, branch=branch, digest=digest)
        return commit

    def _expect_released(self, channel: str) -> None:
        commit = self._released[channel]
        self._flow.succeeded(self._flow.released(channel, commit))
        expect(f"releases/{channel}", self._world.repository.heads().get(f"releases/{channel}"), commit)

    def _expect_web(self, channel: str, *, image: str, replicas: int) -> None:
        web = self._web(channel)
        expect(f"the image of web in {channel}", web["spec"]["template"]["spec"]["containers"][0]["image"], image)
        expect(f"the ready replicas of web in {channel}", web["status"].get("readyReplicas"), replicas)

    def _expect_headline(self, channel: str) -> None:
        """The new page is mounted, and the ConfigMap of the old one is gone."""
        pages = [name for name in self._names(channel, "configmaps", "web") if name.startswith("web-pages-")]
        mounted = self._web(channel)["spec"]["template"]["spec"]["volumes"][0]["configMap"]["name"]
        expect(f"the pages of web in {channel}", pages, [mounted])
        page = self._clusters.get(channel, "configmap", mounted, "web")["data"]["index.html"]
        expect(f"the new headline in {channel}", _NEW_HEADLINE in page, True)

    def _web(self, channel: str) -> dict[str, Any]:
        return self._clusters.get(channel, "deployment", "web", "web")

    def _metabase(self, channel: str) -> tuple[str, int]:
        return self._clusters.helm_revision(channel, "metabase", "metabase")

    def _names(self, channel: str, kind: str, namespace: str) -> list[str]:
        return self._clusters.names(channel, kind, namespace)

    def _versions(self, channel: str) -> dict[str, str]:
        """The resource version of every object of the apps: what was written to has another one."""
        return self._clusters.versions(channel, ("archiver", "metabase", "web"))


def masked_change(diff: str) -> tuple[str, str]:
    """The rotated key before and after as a diff shows it: both masked, each another mask, and no value anywhere."""
    masks = re.findall(rf'^([-+]) +data\.{_ROTATED_KEY}: "(<masked [0-9a-f]+>)"$', diff, re.MULTILINE)
    expect(f"how {_ROTATED_KEY} changes, masked, in\n{diff}\n", [sign for sign, _ in masks], ["-", "+"])
    before, after = (mask for _, mask in masks)
    expect("that both masks are the same", before == after, False)
    expect("values of the key in the diff", [value for value in _ROTATED if value in diff], [])
    return before, after


def expect(what: str, found: object, wanted: object) -> None:
    """Raise FailedError unless what was found is what is wanted."""
    if found != wanted:
        raise FailedError(f"{what}: expected {wanted!r}, found {found!r}")
