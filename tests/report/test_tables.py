"""Tables that reports make themselves: what folds away, what is drawn, what is said where there is no number."""

from dataclasses import replace

from recsys.report import render
from recsys.report._chart import Figure, Finding, Row, Table
from recsys.report._tables import sections
from tests.report.synthetic import evaluation
from tests.report.test_render import NASTY, check

TABLE = Table(
    target="relevance",
    section="What is it worth?",
    title="Worth",
    about="In all.",
    columns=("Thing", "Value", "Count"),
    rows=(),
    drawn=True,
    line=0.0,
    definitions=(("Value", "What it is worth."),),
)


def rows(num: int) -> tuple[Row, ...]:
    return tuple(Row(name=f"thing {i}", cells=(Figure(value=i / 7, low=i / 8, high=i / 6), f"{i}")) for i in range(num))


def shown(*tables: Table) -> str:
    html = render(evaluation(num_queries=5), [], list(tables))
    check(html)
    return html


def test_long_tables_fold_and_the_longest_are_cut():
    html = shown(replace(TABLE, rows=rows(250)))
    assert "190 more (50 further ones are in metrics.json)" in html
    assert "thing 199" in html
    assert "thing 200" not in html
    assert "more (" not in shown(replace(TABLE, rows=rows(10)))


def test_numbers_are_drawn_and_sortable_and_why_there_is_none_is_said():
    refused = Row(name="none", cells=(Figure(value=None, why="Too little overlap."), "1"), tag="not concluded")
    html = shown(replace(TABLE, rows=(*rows(3), refused)))
    assert '<b class="num">0.286</b> <span class="ci">[0.250, 0.333]</span>' in html
    assert 'data-v="0.2857142857142857"' in html
    assert 'title="Too little overlap."' in html
    assert "not concluded" in html
    assert html.count('class="whisker"') == 3


def test_why_there_is_no_interval_is_said():
    alone = Row(name="alone", cells=(Figure(value=0.5, why="No interval: too few queries."), "1"))
    html = shown(replace(TABLE, rows=(*rows(1), alone)))
    assert '<b class="num">0.500</b> <span class="ci none" title="No interval: too few queries.">[?]' in html
    bare = shown(replace(TABLE, rows=(Row(name="bare", cells=(Figure(value=0.5),)),)))
    assert 'title="No interval' not in bare


def test_tables_of_a_section_stand_together_with_charts_first():
    plain = replace(TABLE, title="Plain", drawn=False, rows=rows(1))
    other = replace(TABLE, section="And else?", rows=rows(1))
    made = sections([plain, other, replace(TABLE, rows=rows(2))], "relevance")
    assert [(s["title"], [t["table"].title for t in s["tables"]]) for s in made] == [
        ("What is it worth?", ["Worth", "Plain"]),
        ("And else?", ["Worth"]),
    ]
    assert sections([plain], "click") == []


def test_what_users_wrote_is_escaped_everywhere():
    nasty = NASTY[0]
    table = replace(
        TABLE,
        section=nasty,
        title=nasty,
        about=nasty,
        columns=(nasty, nasty, nasty),
        rows=(Row(name=nasty, cells=(Figure(value=None, why=nasty), nasty), tag=nasty),),
        definitions=((nasty, nasty),),
    )
    html = render(evaluation(num_queries=5), [], [table, Finding(lead=nasty, rest=nasty)])
    check(html)
    assert "<script>alert" not in html
