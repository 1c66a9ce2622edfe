import json
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser

import pyarrow as pa
import pytest

from recsys.report import Balanced, FirstStage, Record, Reliability, _text, build, render, to_json
from recsys.report._chart import SliceGroup
from recsys.report._sentences import sentences
from recsys.report._svg import Axis
from tests.report.synthetic import evaluation

NASTY = ("<script>alert('x')</script>&\"quoted\"", "مصباح للمنزل", "🛋️ Sofa ünïcode", "W" * 300)
VOID = {"meta", "link", "br", "img", "hr", "input"}
REPORTS = {
    "balanced": Balanced(k=10, num_replicates=20, min_queries=10, min_size=1, slices=[], crosses=[], max_values=6),
    "reliability": Reliability(num_bins=10, num_replicates=20),
}


class Page(HTMLParser):
    """Checks that tags balance, ids are unique and links within the page lead somewhere."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.texts: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)
        self.attributes += [(n, v or "") for n, v in attrs]
        self.ids += [v for n, v in attrs if n == "id" and v]
        self.links += [v for n, v in attrs if n == "href" and v]

    def handle_startendtag(self, tag, attrs):
        self.attributes += [(n, v or "") for n, v in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, (tag, self.getpos())

    def handle_data(self, data):
        self.texts.append(data)


def check(html: str) -> Page:
    page = Page(html)
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)
    assert {link for link in page.links if not link.startswith("#")} <= {"data:,"}
    assert not re.search(r"https?://", html)
    assert not [n for n, _ in page.attributes if n in ("src", "onclick", "onload", "onerror")]
    assert "url(" not in html
    assert len(html.encode()) < 3_000_000
    for name, value in page.attributes:
        assert "nan" not in value.lower().split(), (name, value)
    assert html.count("<script>") == 1
    return page


@pytest.fixture(scope="module")
def built():
    shop = evaluation(num_queries=50, targets=("relevance", "click", "purchase"), names=NASTY)
    return shop, *build(shop, REPORTS)


def test_page_is_whole_and_escapes_what_users_wrote(built):
    shop, _, html, _ = built
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert" in html
    assert "مصباح" in html
    page = check(replace_run(shop, html))
    assert "<b>autumn</b>" not in html
    assert sum(t.strip() == "Probabilities" for t in page.texts) == 3  # one entry per target in the contents


def test_a_cascade_is_named_in_title_heading_and_first_sentence():
    shop = replace(evaluation(num_queries=5), first=FirstStage(model="two_tower", top=1200), num_pairs=700)
    page = check(render(shop, [], []))
    texts = [t.strip() for t in page.texts]
    assert "autumn · two_tower → split_encoder on shop" in texts
    assert "two tower → split encoder" in texts
    assert "pairs scored again" in texts
    lead, rest = sentences(shop, [], [])[0]
    assert lead == "A cascade of two tower and split encoder:"
    assert "two tower ranked every item, and the first 1,200 of each query stand in the order of split encoder" in rest


def replace_run(shop, html: str) -> str:
    """The page of the same shop with markup in the names of run, model and source."""
    records = [Record(**r) for r in json.loads(build(shop, {})[0])]
    odd = replace(shop, run="<b>autumn</b>", model="<i>m</i>", source='"s"')
    other = render(odd, records, [])
    assert "<b>autumn</b>" not in other
    assert "&lt;b&gt;autumn&lt;/b&gt;" in other
    check(other)
    return html


def test_json_is_flat_complete_and_deterministic(built):
    shop, text, _, records = built
    rows = json.loads(text)
    assert len(rows) == len(records)
    expected = [
        "report",
        "target",
        "split",
        "metric",
        "definition",
        "slice",
        "value",
        "low",
        "high",
        "num_queries",
        "num_pairs",
    ]
    assert list(rows[0]) == expected
    assert "NaN" not in text
    assert text == to_json(list(reversed(records)))
    assert all(r["definition"] for r in rows)
    assert {r["value"] for r in rows if r["num_queries"] == 0} <= {None, 0.0}
    assert build(shop, REPORTS)[:2] == (text, built[2])


def test_page_shows_the_numbers_of_the_records(built):
    _, _, html, records = built
    shown = [r for r in records if r.slice == "overall" and r.metric in ("ndcg@10", "gauc") and r.split == "test"]
    assert len(shown) == 6
    for record in shown:
        assert f"{record.value:.3f}</b>" in html
        assert f"[{record.low:.3f}, {record.high:.3f}]" in html


def test_only_labelled_pairs_scored():
    html = build(evaluation(num_queries=20, full=False), REPORTS)[1]
    check(html)
    assert "How much of the catalogue is shown?" not in html
    assert "Only labelled pairs were scored" in html


def test_a_target_without_positives():
    shop = evaluation(num_queries=20, targets=("relevance", "click"))
    label = [0.0 if r["target"] == "click" else r["label"] for r in shop.calibrated.to_pylist()]
    none = shop.calibrated.set_column(shop.calibrated.column_names.index("label"), "label", pa.array(label))
    text, html, _ = build(replace(shop, calibrated=none), REPORTS)
    check(html)
    assert "No query counts here" in html
    assert {r["value"] for r in json.loads(text) if r["target"] == "click" and r["metric"] == "auc"} == {None}


def test_one_query_and_none():
    check(build(evaluation(num_queries=1, num_items=5, learned=False), REPORTS)[1])
    shop = evaluation(num_queries=2, num_items=20)
    nothing = replace(shop, calibrated=shop.calibrated.slice(0, 0), calibration={}, rows={})
    html = build(nothing, REPORTS)[1]
    check(html)
    assert "No query of this part has a label" in html


def test_a_thousand_slices_fold_away(built):
    shop, _, _, records = built
    overall = [r for r in records if r.slice == "overall" and r.target == "relevance" and r.report == "balanced"]
    pattern = next(r for r in overall if r.metric == "ndcg@10" and r.split == "test")
    values = tuple(f"brand {i} {'long ' * 30}" for i in range(1000))
    many = [replace(pattern, slice=f"brand={v}", value=0.9 - i / 2000) for i, v in enumerate(values)]
    group = SliceGroup(target="relevance", column="brand", metric="ndcg@10", values=values, min_queries=10)
    html = render(shop, overall + many, [group])
    page = check(html)
    text = "".join(page.texts)
    assert "192 more slices (800 further ones are in metrics.json)" in text
    assert text.index("brand 999") < text.index("brand 998")  # the worst first
    assert "brand 700" not in text


def record(metric: str, value, low, high, where="overall") -> Record:
    return Record(
        report="balanced",
        target="relevance",
        split="test",
        metric=metric,
        definition="d",
        slice=where,
        value=value,
        low=low,
        high=high,
        num_queries=92,
        num_pairs=900,
    )


def test_a_missing_interval_has_a_reason():
    bare = record("auc", 0.8, None, None)
    assert _text.why(replace(bare, num_queries=4)) == "No interval: too few queries."
    assert _text.why(bare).startswith("No interval: this figure has none, or")
    unseen = replace(bare, definition="No click was seen, so there is no interval. Mean reward.")
    assert _text.why(unseen) == "No click was seen, so there is no interval."
    assert _text.why(record("auc", 0.8, 0.7, 0.9)) == ""


def spoken(*records: Record) -> str:
    shop = evaluation(num_queries=5)
    return " ".join(
        f"{lead} {rest}" for lead, rest in sentences(shop, [record("ndcg@10", 0.8, 0.77, 0.83), *records], [])
    )


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (-0.12, -0.03, "Tail queries rank worse than head queries by 0.08 nDCG@10 [0.03, 0.12]."),
        (-0.12, 0.01, "Head and tail queries cannot be told apart: tail less head is −0.08 [−0.12, 0.01] nDCG@10."),
        (None, None, ""),
    ],
)
def test_tail_sentence_is_no_stronger_than_its_interval(low, high, words):
    said = spoken(record("difference ndcg@10", -0.08, low, high, "frequency=tail vs head"))
    assert words in said
    assert ("worse" in said) == (high is not None and high < 0)


def test_tail_sentence_tells_what_chance_would_do():
    gap = record("difference ndcg@10", -0.08, -0.12, -0.03, "frequency=tail vs head")
    random = record("difference random ndcg@10", -0.06, -0.07, -0.05, "frequency=tail vs head")
    assert "a random order would differ by 0.06 in the same direction" in spoken(gap, random)
    assert "a random order" not in spoken(gap, replace(random, value=-0.01))


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [(0.1, 0.3, "ranks better than chance"), (-0.1, 0.3, "cannot be told"), (-0.3, -0.1, "ranks worse than chance")],
)
def test_ranking_sentence_follows_the_lift(low, high, words):
    said = spoken(record("random ndcg@10", 0.6, 0.5, 0.7), record("lift ndcg@10", 0.2, low, high))
    assert words in said
    assert "where a random order scores 0.60" in said


@pytest.mark.parametrize("random", [1.0, 0.9987])
def test_one_labelled_item_per_query_has_no_order(random):
    alone = (record("random ndcg@10", random, 0.99, 1.0), record("lift ndcg@10", 0.0, 0.0, 0.0))
    said = spoken(*alone, record("auc", 0.751, 0.738, 0.764), record("detectable difference ndcg@10", 0.0, None, None))
    assert f"a random order scores {random:.3f} nDCG@10." in said
    assert "cannot be" not in said
    assert "a pair that is relevant scores above one that is not in 75\u00a0% [74, 76] of cases" in said
    assert "of cases" not in spoken(*alone, record("auc", None, None, None))


@pytest.mark.parametrize(("value", "words"), [(0.031, "0.03"), (0.0031, "0.003"), (0.00031, "0.0003")])
def test_detectable_difference_sentence(value, words):
    said = spoken(record("detectable difference ndcg@10", value, None, None))
    assert f"92 usable test queries: differences under about {words} nDCG@10 cannot be seen." in said


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (1.0, "100"),
        (0.99996, "99.99"),
        (0.9996, "99.96"),
        (0.997, "99.7"),
        (0.9893, "98.9"),
        (0.979, "98"),
        (0.31, "31"),
        (0.041, "4.1"),
    ],
)
def test_less_than_all_is_not_all(value, words):
    assert _text.percent(value) == f"{words}\u00a0%"


def test_brackets_near_the_whole_have_a_digit_more():
    assert _text.percent_bracket(0.987, 0.991) == "[98.7, 99.1]"
    assert _text.percent_bracket(0.95, 0.991) == "[95, 99]"
    assert _text.percent_bracket(0.009, 0.014) == "[0.9, 1.4]"


def test_given_scores_are_named_by_their_run():
    shop = replace(evaluation(num_queries=5, full=False, learned=False), model="given")
    assert "given scores of autumn" in " ".join("".join(check(render(shop, [], [])).texts).split())


@pytest.mark.parametrize("values", [[0.0, 1.0], [0.31, 0.78], [0.5], [0.0, 0.0123], [3.0, 41.0]])
def test_axes_are_round_and_cover_their_values(values):
    axis = Axis(values)
    assert axis.low <= min(values)
    assert axis.high >= max(values)
    assert 2 <= len(axis.ticks) <= 7
    for tick in axis.ticks:
        assert float(f"{tick:.{axis.digits}f}") == pytest.approx(tick, abs=1e-9)


def browser() -> list[str]:
    """The command of a headless Chromium, without a page; skips the test where there is none."""
    found = next((b for b in ("chromium", "chromium-browser", "google-chrome") if shutil.which(b)), None)
    if found is None:
        pytest.skip("no Chromium is installed")
    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    flags += "--disable-component-update --disable-sync --hide-scrollbars --enable-logging=stderr --v=0"
    return [found, *flags.split()]


def test_wide_intervals_stay_within_their_cells(tmp_path):
    lost = (-0.328, -0.465, -0.211)
    rows = [record("ndcg@10", 0.2, 0.1, 0.3), record("random ndcg@10", 0.528, 0.5, 0.6), record("lift ndcg@10", *lost)]
    probe = (
        "<script>addEventListener('load', () => {"
        "const cells = [...document.querySelectorAll('.strips td:not(.chart)')];"
        "const wide = cells.filter(c => c.scrollWidth > c.clientWidth).map(c => c.innerText);"
        "console.log(cells.length + ' CELLS, TOO WIDE: ' + wide.join(' and '))})</script>"
    )
    page = tmp_path / "index.html"
    page.write_text(render(evaluation(num_queries=5), rows, []).replace("</body>", probe + "</body>"), encoding="utf-8")
    command = [*browser(), f"--user-data-dir={tmp_path / 'profile'}", f"--screenshot={tmp_path / 'page.png'}"]
    done = subprocess.run(
        [*command, "--window-size=1400,1200", page.as_uri()], capture_output=True, text=True, timeout=120, check=False
    )
    said = next(line for line in done.stderr.splitlines() if "CELLS" in line)
    assert re.search(r"[1-9]\d* CELLS, TOO WIDE: \"", said), said


def test_a_browser_shows_the_page_without_complaint(built, tmp_path):
    page, shot = tmp_path / "index.html", tmp_path / "page.png"
    probe = (
        "<script>addEventListener('load', () => {const b = document.querySelector('table.sortable thead button');"
        "b.click(); console.log('SORTED ' + b.closest('th').getAttribute('aria-sort')"
        "+ ' WIDE ' + (document.documentElement.scrollWidth - innerWidth))})</script>"
    )
    page.write_text(built[2].replace("</body>", probe + "</body>"), encoding="utf-8")
    command = [*browser(), f"--user-data-dir={tmp_path / 'profile'}", f"--screenshot={shot}"]
    done = subprocess.run(
        [*command, "--window-size=500,1200", page.as_uri()], capture_output=True, text=True, timeout=120, check=False
    )
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert shot.stat().st_size > 10_000
    assert len(console) == 1, console
    assert "SORTED ascending" in console[0]
    assert int(console[0].partition("WIDE ")[2].split('"')[0]) <= 0  # nothing sticks out of a narrow window
