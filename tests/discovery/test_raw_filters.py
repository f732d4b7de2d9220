"""Filters as in Genesys's API: what breaks their shape is named with its place."""

from __future__ import annotations

from typing import Any

import pytest

from genesys_media_async.discovery.raw_filters import first_fault

GOOD = {"dimension": "queueId", "value": "q"}


def of(*predicates: object) -> list[dict[str, object]]:
    return [{"type": "and", "predicates": list(predicates)}]


@pytest.mark.parametrize(
    "filters",
    [
        [],
        (),
        of(GOOD),
        of({"type": "dimension", "operator": "matches", **GOOD}),
        of({"dimension": "conversationEnd", "operator": "notExists", "value": None}),
        of({"type": "metric", "metric": "tTalk", "range": {"gte": 1, "lt": 2.5}}),
        of({"type": "metric", "metric": "tAnswered", "operator": "exists"}),
        of({"type": "property", "property": "x", "propertyType": "string", "value": "y"}),
        [{"type": "or", "clauses": [{"type": "and", "predicates": [GOOD, GOOD]}], "predicates": None}],
    ],
)
def test_filters_of_the_api_have_no_fault(filters: object) -> None:
    assert first_fault(filters) is None


@pytest.mark.parametrize(
    ("filters", "sentence"),
    [
        ({}, "segmentFilters must be a list of filters."),
        ("or", "segmentFilters must be a list of filters."),
        ([1], "segmentFilters[0] must be an object with type, predicates, clauses."),
        ([{"predicates": [GOOD]}], 'segmentFilters[0].type must be "and" or "or".'),
        ([{"type": "xor", "predicates": [GOOD]}], 'segmentFilters[0].type must be "and" or "or".'),
        ([{"type": ["or"], "predicates": [GOOD]}], 'segmentFilters[0].type must be "and" or "or".'),
        ([{"type": "or", "predicate": [GOOD]}], "segmentFilters[0].predicate is no field here"),
        ([{"type": "or"}], "segmentFilters[0] must have predicates or clauses"),
        ([{"type": "or", "predicates": []}], "segmentFilters[0] must have predicates or clauses"),
        ([*of(GOOD), {"type": "or", "predicates": GOOD}], "segmentFilters[1].predicates must be a list of predicates."),
        ([{"type": "or", "clauses": GOOD}], "segmentFilters[0].clauses must be a list of clauses."),
        ([{"type": "or", "clauses": [{"type": "or"}]}], "segmentFilters[0].clauses[0] must have predicates"),
        (
            [{"type": "or", "clauses": [{"type": "or", "clauses": [], "predicates": [GOOD]}]}],
            "segmentFilters[0].clauses[0].clauses is no field here",
        ),
        (of(GOOD, 7), "segmentFilters[0].predicates[1] must be an object with type, dimension"),
        (of({"dimention": "queueId", "value": "q"}), "predicates[0].dimention is no field here; the fields are type,"),
        (of({"value": "q"}), "predicates[0].dimension must name the dimension to test."),
        (of({"dimension": 5, "value": "q"}), "predicates[0].dimension must name the dimension to test."),
        (of({"type": "metric", "range": {"gt": 1}}), "predicates[0].metric must name the metric to test."),
        (of({**GOOD, "type": "mood"}), "predicates[0].type must be one of dimension, metric, property."),
        (of({**GOOD, "type": []}), "predicates[0].type must be one of dimension, metric, property."),
        (of({**GOOD, "operator": "like"}), "predicates[0].operator must be one of matches, exists, notExists."),
        (of({"dimension": "queueId"}), "predicates[0].value must be a string."),
        (of({"dimension": "queueId", "value": 5}), "predicates[0].value must be a string."),
        (of({"type": "metric", "metric": "tTalk"}), "predicates[0].range must be an object with gt, gte, lt, lte."),
        (of({"type": "metric", "metric": "t", "range": {}}), "predicates[0].range must have numbers as gt, gte"),
        (of({"type": "metric", "metric": "t", "range": {"gt": "5"}}), "predicates[0].range must have numbers"),
        (of({"type": "metric", "metric": "t", "range": {"gt": True}}), "predicates[0].range must have numbers"),
        (of({"type": "metric", "metric": "t", "range": {"over": 5}}), "predicates[0].range.over is no field here"),
        (of({"type": "metric", "metric": "t", "range": 5}), "predicates[0].range must be an object with gt"),
    ],
)
def test_a_fault_is_named_with_its_place_and_its_rule(filters: Any, sentence: str) -> None:
    assert sentence in str(first_fault(filters, "segmentFilters"))
