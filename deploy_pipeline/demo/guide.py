"""What a person is told: where to look, what to click, and how to break something.

Every command can be copied as it stands: full paths, no step left out.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy_pipeline.demo.github import REPOSITORY, REVIEWER, GitHub
from deploy_pipeline.demo.home import Home
from deploy_pipeline.demo.repository import CHECKOUT
from deploy_pipeline.demo.story import FEATURE, ROTATED_FILE
from deploy_pipeline.settings import tool_path

_WEB_TEST = "kubernetes/apps/overlays/web-test/kustomization.yaml"
_TRIAL = "trial"
_FIRST_COMMENT = "import json, sys; print(json.load(sys.stdin)[0]['body'])"
_CLICKS = f"""\
  `{FEATURE}` waits for you. Read its change set for test and copy the digest. Then launch `promote` with the
  partition test and `candidate: {FEATURE}`, `approved_by: you`, `expected_digest: <digest>`.
  The release follows by itself, and the apps of test show it.
  A secret was rotated as well: the change set has it as `data.FEED_API_KEY`, `<masked …>` before and after. Of the
  values it shows no more than that they differ."""


@dataclass(frozen=True)
class Lesson:
    """Something to do, as commands for a shell, and what to expect of it."""

    title: str
    commands: tuple[str, ...]
    expect: str


def write_environment(home: Home, settings: Mapping[str, str]) -> None:
    """A file that makes a shell's commands act on the demo when it is sourced."""
    lines = [f"export {name}={shlex.quote(value)}\n" for name, value in settings.items()]
    home.environment.write_text("".join(lines))


def lessons(home: Home) -> tuple[Lesson, ...]:
    """What to try, in an order that works."""
    return (
        Lesson(
            "Drift: change prod behind the deployer's back",
            (
                _kubectl(home, "prod", "scale deployment/web --namespace=web --replicas=5"),
                _deployer(home, "drift --channel prod"),
            ),
            "The schedule finds it, too, every five minutes: see the check `drift` of the asset prod/web. Promoting "
            "`main` to prod approves putting it back, and the release does it. The other drift is the secret that was "
            "rotated and is not in prod yet.",
        ),
        Lesson(
            "A broken image: push it, and promote it to test",
            (*_push(home, "broken", new=True), _promote(home)),
            "The release fails after half a minute, says which pod cannot pull what, and names the last good state. "
            f"The old pod still serves: {_kubectl(home, 'test', 'get pods --namespace=web')}",
        ),
        Lesson(
            "The fix goes the same way",
            (*_push(home, "1.9.0", new=False), _promote(home)),
            "The release continues over what the failed one left.",
        ),
        Lesson(
            "Rotation: give the same secret yet another value, and put it in place without a release",
            (
                _rotate(home),
                _deployer(home, "drift --channel prod"),
                _deployer(home, "secrets --channel prod --app archiver"),
            ),
            "The comparison masks the value in the cluster and the one in the store, each by its fingerprint.",
        ),
        Lesson(
            "Around the approval: push to a release branch",
            (
                _git(home, "fetch --quiet origin"),
                _git(home, "push --quiet --force origin origin/candidates/main:refs/heads/releases/test"),
            ),
            "The release refuses: nobody approved this commit. Nothing changes in the cluster.",
        ),
    )


def review(github: GitHub) -> Lesson:
    """What a reviewer does with the pull request that waits: the stand-in has an API and no pages."""
    return Lesson(
        f"Review: read the diff of `{FEATURE}` on its pull request, approve it, merge it",
        (
            f"{_api(github, 'issues/1/comments')} | {_word(sys.executable)} -c {_word(_FIRST_COMMENT)}",
            _api(github, "pulls/1/reviews", "POST", {"event": "APPROVE", "body": "Read."}),
            _api(github, "pulls/1/merge", "PUT", {}),
        ),
        "The release follows by itself, approved by the review; its result is the next comment. Merging first is "
        "refused: releases/test asks for an approval and for the status `deploy-pipeline/test`.",
    )


def guide(home: Home, url: str, github: GitHub | None = None) -> str:
    """The page that the demo prints; with ``github``, what waits is a pull request."""
    places = {
        "The flow as a graph of assets": "/asset-groups",
        "Runs": "/runs",
        "Sensors and schedules": "/automation",
        "Promote a candidate (choose a partition: the channel)": "/locations/deploy_pipeline/jobs/promote/playground",
        "Change sets, with the digest to approve": "/assets/change_set",
    }
    blocks = [
        "Look:\n" + "\n".join(f"  {url + path}\n      {what}" for what, path in places.items()),
        _lesson_text(review(github)) if github else f"Click:\n{_CLICKS}",
        *(_lesson_text(lesson) for lesson in lessons(home)),
        f"Everything lies in {home.path}. Ctrl-C ends it.",
    ]
    return "\n\n".join(blocks)


def _lesson_text(lesson: Lesson) -> str:
    return "\n".join([f"{lesson.title}:", *(f"  {command}" for command in lesson.commands), f"  → {lesson.expect}"])


def _kubectl(home: Home, channel: str, arguments: str) -> str:
    return f"{_word(tool_path('kubectl'))} --kubeconfig {_word(home.kubeconfig)} --context {channel} {arguments}"


def _api(github: GitHub, path: str, method: str = "GET", body: Mapping[str, str] | None = None) -> str:
    """A request by the reviewer."""
    sent = "" if body is None else f" --data {_word(json.dumps(body))}"
    header = _word(f"Authorization: token {github.tokens[REVIEWER]}")
    address = _word(f"{github.api_url}/repos/{REPOSITORY}/{path}")
    return f"curl --silent --show-error --fail-with-body --request {method} --header {header}{sent} {address}"


def _git(home: Home, arguments: str) -> str:
    return f"git -C {_word(home.clone)} {arguments}"


def _push(home: Home, tag: str, *, new: bool) -> tuple[str, ...]:
    """Commit another image tag on a branch and push it."""
    file = _word(home.clone / _WEB_TEST)
    return (
        _git(home, f"checkout --quiet {'-B ' + _TRIAL + ' origin/main' if new else _TRIAL}"),
        f"sed -i.bak 's/newTag: .*/newTag: \"{tag}\"/' {file} && rm {file}.bak",  # GNU's and BSD's sed agree on this
        _git(home, f"commit --quiet --all --message 'Use the image {tag}'"),
        _git(home, f"push --quiet origin {_TRIAL}"),
    )


def _rotate(home: Home) -> str:
    """Change a value in the secret store."""
    file = _word(home.secrets / ROTATED_FILE)
    return f"sed -i.bak 's/FEED_API_KEY: .*/FEED_API_KEY: one-more-unreal-key/' {file} && rm {file}.bak"


def _promote(home: Home) -> str:
    """Render and promote by the command line, which does not wait for the sensor."""
    return _deployer(home, f"render {_TRIAL}", f"promote --channel test --rev {_TRIAL} --yes --approved-by you")


def _deployer(home: Home, *commands: str) -> str:
    """The deployer's own command line with the demo's settings, in a subshell that keeps them."""
    program = f"{_word(sys.executable)} -m deploy_pipeline.cli"
    steps = [f"cd {_word(CHECKOUT)}", f". {_word(home.environment)}", *(f"{program} {one}" for one in commands)]
    return f"({' && '.join(steps)})"


def _word(text: str | Path) -> str:
    return shlex.quote(str(text))
