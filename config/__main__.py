"""`python -m config`: write the JSON Schema anew from the models."""

from . import schema

if __name__ == "__main__":
    schema.FILE.write_text(schema.text(), encoding="utf-8")
