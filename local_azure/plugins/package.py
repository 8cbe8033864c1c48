"""Pulumi's schema of a plugin's package."""

from __future__ import annotations

from collections.abc import Mapping

from local_azure.plugins.schema import Prop, ResourceType
from local_azure.plugins.values import Properties


def package_schema(name: str, version: str, types: Mapping[str, ResourceType]) -> Properties:
    """The package as Pulumi's schema describes it, for what the table covers: `pulumi import` writes programs from it."""
    nested: Properties = {}
    resources: Properties = {}
    for token, rtype in types.items():
        described = {
            prop_name: _spec(prop, f"{token}{prop_name[0].upper()}{prop_name[1:]}", nested)
            for prop_name, prop in rtype.props.items()
        }
        resources[token] = {
            "properties": described,
            "inputProperties": {prop_name: described[prop_name] for prop_name in rtype.inputs()},
            "requiredInputs": sorted(rtype.required_inputs()),
        }
    return {
        "name": name,
        "version": version,
        "meta": {"moduleFormat": "(.*)(?:/[^/]*)" if any("/" in token for token in types) else "(.*)"},
        "types": nested,
        "resources": resources,
        "functions": {},
    }


def _spec(prop: Prop, token: str, nested: Properties) -> Properties:
    spec: Properties
    if prop.kind == "object":
        nested[token] = {
            "type": "object",
            "properties": {
                name: _spec(item, f"{token}{name[0].upper()}{name[1:]}", nested) for name, item in prop.fields.items()
            },
            "required": sorted(name for name, item in prop.fields.items() if item.required),
        }
        spec = {"$ref": f"#/types/{token}"}
    elif prop.kind in ("list", "set"):
        spec = {"type": "array", "items": _spec(prop.each or Prop(kind="string"), token, nested)}
    elif prop.kind == "map":
        spec = {"type": "object", "additionalProperties": {"type": "string"}}
    else:
        spec = {"type": {"string": "string", "bool": "boolean", "int": "integer"}[prop.kind]}
    if prop.secret:
        spec["secret"] = True
    if prop.force_new:
        spec["willReplaceOnChanges"] = True
    return spec
