"""Statements about latents: read into SQL with checked names and bound values, and nothing else."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monoseme.atlas import Atlas
from monoseme.atlas.search import parse_condition
from monoseme.core.errors import ConfigError

TYPES = {"density": "DOUBLE", "max": "FLOAT", "n_fired": "BIGINT", "explanation": "VARCHAR", "is_dead": "BOOLEAN"}
TYPES |= {"example_texts": "VARCHAR[]"}


@pytest.mark.parametrize(
    ("statement", "sql", "values"),
    [
        ("density < 0.01", '"density" < ?', (0.01,)),
        ("density<1e-2 and max>=-3", '("density" < ?) AND ("max" >= ?)', (0.01, -3.0)),
        ("n_fired == 1_000 or max is missing", '("n_fired" = ?) OR ("max" IS NULL)', (1000.0,)),
        (
            "not (density < 1 or max > 2) and n_fired != 3",
            '(NOT (("density" < ?) OR ("max" > ?))) AND ("n_fired" != ?)',
            (1.0, 2.0, 3.0),
        ),
        ("max is not missing AND is_dead = false", '("max" IS NOT NULL) AND ("is_dead" = ?)', (False,)),
        ("max > density", '"max" > "density"', ()),
        ('explanation ~ "Cat\'; --"', 'contains(lower("explanation"), lower(?))', ("Cat'; --",)),
        ('example_texts ~ " the"', 'contains(lower(array_to_string("example_texts", chr(10))), lower(?))', (" the",)),
    ],
)
def test_statements_become_sql_with_bound_values(statement: str, sql: str, values: tuple[object, ...]) -> None:
    assert parse_condition(statement, TYPES) == (sql, values)


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("densty < 1", 'no column "densty". Did you mean "density"'),
        ("density <", "stands the end"),
        ("density < 1 2", "and, or, or the end"),
        ("density 1", "at character 9"),
        ("(density < 1", "a closing parenthesis"),
        ("density < 1; drop table latents", "begins with '; drop table latents'"),
        ('density < "a"', "is a number, and cannot be compared with the text a"),
        ("density ~ 1", "a text in quotation marks"),
        ('density ~ "1"', "holds no text"),
        ("is_dead = max", "cannot be compared"),
        ("", "a column"),
        ("(" * 60 + "density < 1" + ")" * 60, "40 deep"),
        ("density < 1 and " * 200 + "max > 1", "too long"),
    ],
)
def test_what_is_no_statement_is_told(statement: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace("(", r"\(")):
        parse_condition(statement, TYPES)


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet='densityx <>=!~"()1.-;andor\n', max_size=40))
def test_whatever_is_typed_only_statements_pass(statement: str) -> None:
    try:
        sql, values = parse_condition(statement, TYPES)
    except ConfigError:
        return
    assert sql.count("?") == len(values)
    assert ";" not in sql.replace('";"', "")


def test_the_table_is_cut_by_a_statement(planted: Atlas) -> None:
    table = planted.table("topk", where="density < 0.2 and not is_dead = true", sort="density", descending=True)
    everything = planted.table("topk").rows
    expected = [row["latent"] for row in everything if row["density"] < 0.2 and not row["is_dead"]]
    assert sorted(row["latent"] for row in table.rows) == expected
    assert table.n_matching == len(expected) > 0
    both = planted.table("topk", where="max is not missing", search="cat")
    assert 0 in [row["latent"] for row in both.rows]
