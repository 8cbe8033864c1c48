"""`python -m entrant.config`: write the JSON Schema and the reference page anew from the models."""

from . import reference, schema

if __name__ == "__main__":
    schema.FILE.write_text(schema.text(), encoding="utf-8")
    reference.FILE.write_text(reference.text(), encoding="utf-8")
