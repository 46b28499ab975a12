#!/usr/bin/env python3
# ruff: noqa: B905, D101, D102, D103, D415, E501, EXE001, FURB167, T201, UP031
# mypy: ignore-errors
"""Replay recorded Kubernetes API exchanges against a server and compare (see README.md). Standard library only."""

import argparse
import base64
import http.client
import json
import re
import ssl
import sys
import threading
import time
import urllib.parse
from pathlib import Path

# <KINDn> in a recording stands for a value chosen by the server.
PATTERNS = {
    "RV": r"\d+",
    "LRV": r"\d+",
    "NUM": r"\d+",
    "PORT": r"\d+",
    "CONT": r"\S+",
    "IP": r"[0-9a-fA-F.:]+",
    "UID": r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    "RAND": r"[a-z0-9]{5,10}",
    "TIME": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z",
}
TOKEN = re.compile(r"<(%s)(\d*)>" % "|".join(PATTERNS))
UNIQUE = {"RV", "UID", "IP", "PORT", "RAND"}  # different placeholder => different value
REBIND = {"LRV", "CONT"}  # free value, but remembered for later requests


class Names:
    """Which actual value each placeholder of the current file stands for."""

    def __init__(self, values=None):
        self.values = dict(values or {})

    def fill(self, text):
        return TOKEN.sub(lambda m: self.values.get(m.group(0), m.group(0)), text)

    def match(self, expected, actual):
        """None if `actual` fits the string `expected`, which holds placeholders; otherwise the reason."""
        kinds = TOKEN.findall(expected)
        if type(actual) is int and kinds[0][0] == "PORT":
            actual = str(actual)
        pattern, last = "", 0
        for m in TOKEN.finditer(expected):
            pattern += re.escape(expected[last : m.start()]) + f"({PATTERNS[m.group(1)]})"
            last = m.end()
        found = isinstance(actual, str) and re.fullmatch(pattern + re.escape(expected[last:]), actual, re.S)
        if not found:
            return f"expected {expected!r}, got {short(actual)}"
        for (kind, number), value in zip(kinds, found.groups()):
            if not number:
                continue
            name, known = f"<{kind}{number}>", self.values.get(f"<{kind}{number}>")
            if kind in UNIQUE and known not in (None, value):
                self.values[name] = value  # report once, then go on with the new value
                return f"{name} was {known} before, is {value} now (must be equal)"
            if kind in UNIQUE and known is None:
                twins = [n for n, v in self.values.items() if v == value and n.startswith(f"<{kind}")]
                self.values[name] = value
                if twins:
                    return f"{name} is {value}, the same as {twins[0]} (must differ)"
            if kind in REBIND or known is None:
                self.values[name] = value
        return None


def short(value, limit=160):
    text = json.dumps(value, ensure_ascii=False) if not isinstance(value, str) else repr(value)
    return text if len(text) <= limit else text[:limit] + "…"


def prune(value, pointer):
    """Drop what an "ignore" pointer selects. Steps: key, index, * (every element), key=value."""

    def walk(node, steps):
        step, rest = steps[0], steps[1:]
        if isinstance(node, list):
            key, eq, wanted = step.partition("=")
            hit = [
                i
                for i, e in enumerate(node)
                if step in ("*", str(i)) or (eq and isinstance(e, dict) and str(e.get(key)) == wanted)
            ]
            for i in reversed(hit):
                if rest:
                    walk(node[i], rest)
                else:
                    del node[i]
        elif isinstance(node, dict):
            for key in [k for k in node if step in ("*", k)]:
                if rest:
                    filled = bool(node[key])
                    walk(node[key], rest)
                    if filled and node[key] in ({}, []):
                        del node[key]
                else:
                    del node[key]

    walk(value, [s.replace("~1", "/") for s in pointer.strip("/").split("/")])


def normalise(value, ignore):
    """Prune ignored parts and put managedFields into a fixed order (the server orders them by time)."""
    for pointer in ignore:
        if not (pointer == "/status" and isinstance(value, dict) and value.get("kind") == "Status"):
            prune(value, pointer)

    def order(node):
        if isinstance(node, dict) and isinstance(node.get("managedFields"), list):
            node["managedFields"].sort(
                key=lambda e: [str(e.get(k, "")) for k in ("operation", "manager", "subresource", "apiVersion")]
            )
        for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
            order(child)

    order(value)
    return value


def compare(expected, actual, names, partial=False, where=""):
    """All differences as 'path: reason'. partial: extra keys and extra list elements in `actual` are fine."""
    if isinstance(expected, str) and TOKEN.search(expected):
        why = names.match(expected, actual)
        return [f"{where or '/'}: {why}"] if why else []
    if isinstance(expected, dict) and isinstance(actual, dict):
        diffs = []
        for key, value in expected.items():
            if key in actual:
                diffs += compare(value, actual[key], names, partial, f"{where}/{key}")
            else:
                diffs.append(f"{where}/{key}: missing, expected {short(value)}")
        if not partial:
            diffs += [f"{where}/{key}: unexpected {short(actual[key])}" for key in actual if key not in expected]
        return diffs
    if isinstance(expected, list) and isinstance(actual, list):
        if partial:
            return [
                f"{where}: no element like {short(e)}" for e in expected if not any(fits(e, a, names) for a in actual)
            ]
        diffs = (
            [f"{where}: expected {len(expected)} elements, got {len(actual)}: {short(actual)}"]
            if len(expected) != len(actual)
            else []
        )
        for i, (e, a) in enumerate(zip(expected, actual)):
            diffs += compare(e, a, names, partial, f"{where}/{i}")
        return diffs
    if expected != actual or isinstance(expected, bool) != isinstance(actual, bool):
        return [f"{where or '/'}: expected {short(expected)}, got {short(actual)}"]
    return []


def fits(expected, actual, names):
    trial = Names(names.values)
    good = not compare(expected, actual, trial, True)
    names.values.update(trial.values if good else {})
    return good


class Server:
    def __init__(self, url, token=None, ca=None):
        self.url, self.token = urllib.parse.urlsplit(url), token
        self.tls = ssl.create_default_context(cafile=ca) if self.url.scheme == "https" else None

    def send(self, exchange, names):
        """-> (status, response type, warnings, parsed body)"""
        headers = {"Accept": exchange.get("accept", "application/json"), "User-Agent": "replay/1.0"}
        if self.token:
            headers["Authorization"] = "Bearer " + self.token
        body = exchange.get("body")
        if body is not None:
            headers["Content-Type"] = exchange["content_type"]
            text = names.fill(body if isinstance(body, str) else json.dumps(body))
            body = base64.b64decode(body) if exchange.get("body_base64") else text.encode()
        tls = {"context": self.tls} if self.tls else {}
        link = (http.client.HTTPSConnection if tls else http.client.HTTPConnection)(self.url.netloc, timeout=60, **tls)
        try:
            link.request(exchange["method"], names.fill(exchange["path"]), body, headers)
            reply = link.getresponse()
            text = reply.read().decode("utf-8", "replace")
        finally:
            link.close()
        kind = (reply.getheader("Content-Type") or "").replace(" ", "").replace(";charset=utf-8", "")
        warnings = sorted(reply.headers.get_all("Warning") or [])
        if exchange.get("stream") and reply.status == 200:
            return reply.status, kind, warnings, [json.loads(line) for line in text.splitlines() if line.strip()]
        return reply.status, kind, warnings, json.loads(text) if text.startswith("{") else text


def check(exchange, answer, names, ignore):
    status, kind, warnings, parsed = answer
    if status != exchange["status"]:
        message = parsed.get("message", parsed) if isinstance(parsed, dict) else parsed
        return [f"status: expected {exchange['status']}, got {status} ({short(message)})"]
    wanted = exchange.get("response_type", kind)
    diffs = [] if kind == wanted else [f"content type: expected {wanted}, got {kind}"]
    diffs += compare(exchange.get("warnings", []), warnings, names, where="warnings")
    if "response" in exchange:
        parsed = normalise(parsed, ignore + exchange.get("ignore", []))
        diffs += compare(exchange["response"], parsed, names, exchange.get("partial", False))
    return diffs


def replay(path, server, say):
    """-> (passed, failed) for one file"""
    recording = json.loads(path.read_text())
    names, passed, failed, threads = Names(), 0, 0, {}
    ignore = recording.get("ignore", [])

    def attempt(exchange, answers):
        try:
            answers.append(server.send(exchange, names))
        except (OSError, http.client.HTTPException, ValueError) as error:
            answers.append(f"request failed: {error!r}")

    for exchange in recording["exchanges"]:
        if exchange.get("background"):  # a live watch: start it, compare it at the exchange that joins it
            answers = []
            thread = threading.Thread(target=attempt, args=(exchange, answers), daemon=True)
            thread.start()
            threads[exchange["name"]] = (thread, answers, exchange)
            time.sleep(0.5)
            continue
        deadline = time.monotonic() + exchange.get("retry_s", 0)
        while True:
            if "join" in exchange:
                thread, answers, wanted = threads.pop(exchange["join"])
                thread.join(60)
            else:
                answers, wanted = [], exchange
                attempt(exchange, answers)
            trial = Names(names.values)
            answer = answers[0] if answers else "no answer"
            diffs = [answer] if isinstance(answer, str) else check(wanted, answer, trial, ignore)
            made = (
                exchange.get("method") == "POST" and not isinstance(answer, str) and answer[0] < 300
            )  # do not create twice
            if not diffs or made or time.monotonic() >= deadline:
                break
            time.sleep(0.2)
        names.values.update(trial.values)
        passed, failed = passed + (not diffs), failed + bool(diffs)
        for diff in diffs:
            say(
                f"{path.parent.name}/{path.name} [{exchange['name']}] {exchange.get('method', 'JOIN')} {exchange.get('path', '')} {diff}"
            )
    return passed, failed


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", required=True)
    parser.add_argument("--token")
    parser.add_argument("--ca")
    parser.add_argument(
        "--without", action="append", default=[], metavar="NEED", help="skip files that need this (e.g. controllers)"
    )
    parser.add_argument("files", nargs="*", type=Path, metavar="FILES")
    args = parser.parse_args()
    files = args.files or sorted((Path(__file__).parent / "recordings").glob("*.json"))
    server, passed, failed = Server(args.server, args.token, args.ca), 0, 0
    for path in files:
        if set(json.loads(path.read_text()).get("needs", [])) & set(args.without):
            print(f"{path.name}: skipped")
            continue
        good, bad = replay(path, server, print)
        passed, failed = passed + good, failed + bad
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
