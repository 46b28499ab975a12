#!/usr/bin/env python3
# ruff: noqa: B905, D103, E501, EXE001, PLW2901, T201
# mypy: ignore-errors
"""Run the recorded kubectl/helm commands against a cluster and compare exit code and output (see README.md). Needs PyYAML."""

import argparse
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

HERE = Path(__file__).resolve().parent
NOISE = re.compile(r"^(diff -u|--- |\+\+\+ |WARNING: Kubernetes configuration file|[IWE]\d{4} \d\d:|\s*$)")
RULES = [
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z| \+0000 UTC)"), "<TIME>"),
    (re.compile(r"[A-Z][a-z]{2} [A-Z][a-z]{2} +\d+ \d\d:\d\d:\d\d \d{4}"), "<TIME>"),
    (re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "<UID>"),
    (re.compile(r"(?<!\d)10\.\d+\.\d+\.\d+"), "<IP>"),
    (re.compile(r"-[0-9a-z]{8,10}(-[0-9a-z]{5})?(?= |$)(?<!-<RAND>)"), "-<RAND>"),
    (re.compile(r"(?<= )(\d+[dhms])+$"), "<AGE>"),
    (re.compile(r" +"), " "),
]
HASHED = re.compile(r"^(replicaset\.apps|pod)/")


def lines(text):
    """Output as comparable lines: noise dropped, columns collapsed, values that change replaced."""
    result = []
    for line in text.replace("\t", " ").splitlines():
        if NOISE.match(line):
            continue
        for pattern, replacement in RULES:
            if replacement != "-<RAND>" or HASHED.match(line):
                line = pattern.sub(replacement, line.rstrip())
        result.append(line.rstrip())
    return result


def execute(step, env, tools):
    command = shlex.split(step["run"])
    command[0] = tools.get(command[0], command[0])
    return subprocess.run(
        command,
        cwd=HERE,
        env=env,
        input=step.get("stdin", ""),
        capture_output=True,
        text=True,
        timeout=step.get("timeout", 120),
    )


def differences(step, done):
    found = []
    if done.returncode != step["exit"]:
        tail = (done.stderr or done.stdout).strip()[-200:]
        return [f"exit code: expected {step['exit']}, got {done.returncode}: {tail!r}"]
    for stream in ("stdout", "stderr"):
        wanted, got = step.get(stream, []), lines(getattr(done, stream))
        if step.get("partial"):  # the wanted lines, in this order, perhaps with others between them
            rest = iter(got)
            found += [
                f"{stream}: line missing: {line!r}" for line in wanted if not any(line == other for other in rest)
            ]
        elif step.get("unordered"):
            if sorted(wanted) != sorted(got):
                found.append(f"{stream}: expected {wanted}, got {got}")
        elif wanted != got:
            at = next((i for i, pair in enumerate(zip(wanted, got)) if pair[0] != pair[1]), min(len(wanted), len(got)))
            found.append(f"{stream}: line {at + 1}: expected {wanted[at : at + 1]}, got {got[at : at + 1]}")
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kubeconfig", required=True, type=Path)
    parser.add_argument("--kubectl", default="kubectl")
    parser.add_argument("--helm", default="helm")
    parser.add_argument(
        "--without", action="append", default=[], metavar="NEED", help="skip steps that need this (e.g. ready-pods)"
    )
    parser.add_argument("files", nargs="*", type=Path, metavar="FILES")
    args = parser.parse_args()
    passed = failed = skipped = 0
    with tempfile.TemporaryDirectory() as home:
        env = {
            **os.environ,
            "KUBECONFIG": str(args.kubeconfig.resolve()),
            "HOME": home,
            "NO_COLOR": "1",
            "LANG": "C.UTF-8",
        }
        for path in args.files or [HERE / "commands.yaml"]:
            for step in yaml.safe_load(path.read_text())["steps"]:
                if set(step.get("needs", [])) & set(args.without):
                    skipped += 1
                    continue
                deadline = time.monotonic() + step.get("retry_s", 0)
                while True:
                    try:
                        found = differences(step, execute(step, env, {"kubectl": args.kubectl, "helm": args.helm}))
                    except subprocess.TimeoutExpired:
                        found = ["did not end in time"]
                    if not found or time.monotonic() >= deadline:
                        break
                    time.sleep(0.3)
                for difference in found:
                    print(f"{path.parent.name}/{path.name} [{step['run']}] {difference}")
                passed, failed = passed + (not found), failed + bool(found)
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
