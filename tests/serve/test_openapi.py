"""docs/openapi.json: it names every route and no other, and what the program answers is as it says."""

import json
import re
from pathlib import Path

import hypothesis
import pytest
import schemathesis

from program import wait_until

EXAMPLES = 12  # for each route
# Asks servers elsewhere, whose absence is a 503 and no fault; test_ollama_pull.py drives it against one of its own.
ELSEWHERE = {"/api/pull"}
ROOT = Path(__file__).parents[2]
DOCUMENT = json.loads((ROOT / "docs/openapi.json").read_text(encoding="utf-8"))


def test_every_route_is_described():
    table = (ROOT / "src/api/routes.cpp").read_text(encoding="utf-8")
    rows = re.findall(r'add\("([A-Z]+)",\s*"([^"]+)"', table)
    served = {(method.lower(), path.replace("...", "")) for method, path in rows}
    described = {(method, path) for path, methods in DOCUMENT["paths"].items() for method in methods}
    assert served == described


def test_its_schemas_are_sound():
    def check(node):
        if isinstance(node, dict):
            if "$ref" in node:
                assert node["$ref"].split("/")[-1] in DOCUMENT["components"]["schemas"]
            for value in node.values():
                check(value)
        elif isinstance(node, list):
            for value in node:
                check(value)

    check(DOCUMENT)


def shortened(case):
    """The case with a short answer, so that many fit into the time."""
    if isinstance(case.body, dict) and ("input" in case.body or "prompt" in case.body or "messages" in case.body):
        case.body["max_output_tokens" if "responses" in case.path else "max_tokens"] = 1
    return case


@pytest.mark.timeout(600)
def test_schemathesis_finds_no_fault(server):
    known = schemathesis.checks
    checks = [
        known.not_a_server_error,
        known.status_code_conformance,
        known.content_type_conformance,
        known.response_schema_conformance,
    ]
    settings = hypothesis.settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    for found in schemathesis.openapi.from_dict(DOCUMENT).get_all_operations():
        if found.ok().path in ELSEWHERE:
            continue

        @settings
        @hypothesis.given(case=found.ok().as_strategy())
        def run(case):
            response = shortened(case).call(base_url=server.url, timeout=60)
            case.validate_response(response, checks=checks)

        run()
    wait_until(server.is_idle, 30, "nothing is left running")
