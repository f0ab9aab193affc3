"""The configuration as a JSON schema, with which editors complete keys of config.yaml and mark what is wrong.

`confessions schema > config/schema.json` writes the kept file. What a value must be beside others, as that a policy is
one of `models`, no JSON schema says: `snakemake -n` does.
"""

from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue

from confessions.config.experiment import Config


class _Pointed(GenerateJsonSchema):
    """pydantic's schema, in which a wrong key is named instead of a whole block being called invalid."""

    def generate(self, schema: Any, mode: JsonSchemaMode = "validation") -> JsonSchemaValue:
        return {"$schema": self.schema_dialect} | super().generate(schema, mode)

    def tagged_union_schema(self, schema: Any) -> JsonSchemaValue:
        """One block for each `kind`, as conditions: of `oneOf` a validator can say that none fits, and no more."""
        union = super().tagged_union_schema(schema)
        tag, blocks = union["discriminator"]["propertyName"], union["discriminator"]["mapping"]
        chosen = [
            {"if": {"properties": {tag: {"const": kind}}, "required": [tag]}, "then": {"$ref": block}}
            for kind, block in blocks.items()
        ]
        return {"type": "object", "required": [tag], "properties": {tag: {"enum": [*blocks]}}, "allOf": chosen}

    def nullable_schema(self, schema: Any) -> JsonSchemaValue:
        """A block that may be null, as a condition, for the same reason."""
        found = super().nullable_schema(schema)
        block = found.get("anyOf", [{}])[0]
        if "$ref" not in block:
            return found
        return {"type": ["object", "null"], "if": {"type": "object"}, "then": block}

    def dict_schema(self, schema: Any) -> JsonSchemaValue:
        """A key that its pattern does not allow is a wrong one."""
        found = super().dict_schema(schema)
        return found | ({"additionalProperties": False} if "patternProperties" in found else {})


def schema() -> dict[str, Any]:
    """Of the whole of config.yaml."""
    return Config.model_json_schema(schema_generator=_Pointed)
