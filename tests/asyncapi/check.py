"""The document of the topics against what AsyncAPI itself says a document is.

    check.py SCHEMA DOCUMENT

SCHEMA is the JSON Schema of AsyncAPI 3.0.0, of the npm package @asyncapi/specs. Exit status 1 and a line for each problem, or
the number of channels. And the check can fail: the document is broken in some ways, each of which must be found.
"""

import copy
import json
import sys

from jsonschema import Draft7Validator


def problems(validator, document):
    return [f"{'/'.join(map(str, error.absolute_path))}: {error.message[:200]}" for error in validator.iter_errors(document)]


def unresolved(document, part):
    """References that lead nowhere."""
    if isinstance(part, dict):
        reference = part.get("$ref")
        if isinstance(reference, str):
            place = document
            for step in reference.removeprefix("#/").split("/"):
                place = place.get(step) if isinstance(place, dict) else None
            if place is None:
                yield f"{reference} leads nowhere"
        for value in part.values():
            yield from unresolved(document, value)
    elif isinstance(part, list):
        for value in part:
            yield from unresolved(document, value)


def broken(document):
    """The document with something wrong in it, and what."""
    channel = next(iter(document["channels"]))
    message = next(name for name, it in document["components"]["messages"].items() if "payload" in it)
    for what, change in {
        "another version": lambda it: it.update(asyncapi="9.0.0"),
        "no info": lambda it: it.pop("info"),
        "a field that there is not": lambda it: it["channels"][channel].update(adress="x"),
        "an action that there is not": lambda it: next(iter(it["operations"].values())).update(action="publish"),
        "a payload of another type": lambda it: it["components"]["messages"][message].update(payload=7),
        "a schema of another type": lambda it: it["components"]["messages"][message]["payload"]["schema"].update(type="text"),
        "a channel that there is not": lambda it: next(iter(it["operations"].values()))["channel"].update({"$ref": "#/channels/x"}),
    }.items():
        other = copy.deepcopy(document)
        change(other)
        yield what, other


def main():
    schema, document = (json.load(open(path, encoding="utf-8")) for path in sys.argv[1:3])
    validator = Draft7Validator(schema)
    found = problems(validator, document) + list(unresolved(document, document))
    for what, other in broken(document):
        if not problems(validator, other) and not list(unresolved(other, other)):
            found.append(f"not found: {what}")
    for problem in found:
        print(problem)
    print(f"{len(document['channels'])} channels, {len(document['components']['messages'])} messages as AsyncAPI 3.0.0 describes them")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
