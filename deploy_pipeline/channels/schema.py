"""The JSON schema of channel files, by which editors complete and check them while they are written.

It is made from the models, so it cannot lag behind them. What needs the tree (existing files) or several entries (names
used twice) is beyond a schema; ``deploy-pipeline validate`` checks that.
"""

from __future__ import annotations

from typing import Any

from deploy_pipeline.channels.channel import FOREIGN, NEEDED, ChannelFile, Driver


def json_schema() -> dict[str, Any]:
    """A JSON schema (draft 2020-12) of both forms: below the key ``calitp``, or without it."""
    channel = ChannelFile.model_json_schema()
    definitions = channel.pop("$defs")
    definitions["App"]["allOf"] = [_rules(driver) for driver in Driver]
    definitions["Channel"] = channel
    for section in ("Allow", "App", "Channel"):
        _allow_empty(definitions[section])
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Channel file of deploy_pipeline",
        "if": {"type": "object", "required": ["calitp"]},
        "then": {
            "properties": {"calitp": {"$ref": "#/$defs/Channel"}},
            "additionalProperties": False,
        },
        "else": {"$ref": "#/$defs/Channel"},
        "$defs": definitions,
    }


def _rules(driver: Driver) -> dict[str, Any]:
    """What an app needs, and must not have, with that driver."""
    needed = {key: {"not": {"type": "null"}} for key in NEEDED[driver]}
    foreign = {key: {"anyOf": [{"type": "null"}, {"type": "array", "maxItems": 0}]} for key in FOREIGN[driver]}
    return {
        "if": {"properties": {"driver": {"const": driver.value}}},
        "then": {"required": list(NEEDED[driver]), "properties": {**needed, **foreign}},
    }


def _allow_empty(section: dict[str, Any]) -> None:
    """A key with nothing after it counts as absent, so null is allowed wherever a key may be left out."""
    for key, schema in section["properties"].items():
        if key not in section.get("required", ()) and {"type": "null"} not in schema.get("anyOf", ()):
            description = schema.pop("description")
            section["properties"][key] = {"anyOf": [schema, {"type": "null"}], "description": description}
