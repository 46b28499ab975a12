"""The diff comment: complete, short enough, and closed against whatever a branch holds."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from deploy_pipeline.changes import AppChanges, ChangeSet, FieldChange, ObjectChange, Operation
from deploy_pipeline.cluster.objects import ObjectRef
from deploy_pipeline.forge.comment import LIMIT, DiffContext, diff_comment
from deploy_pipeline.forge.markup import fold, visible
from deploy_pipeline.forge.texts import PromotedCommit, ReleaseOutcome, promotion_body, result_comment

RUN = "https://dagster.invalid/runs/1"
MARKUP = [
    *"`~\n\r|\\<>@#",
    "```",
    "~~~",
    "\n\n",
    "</details>",
    "</code>",
    "<!--",
    "-->",
    "@team",
    "#1",
    "<b>",
    "&lt;",
    "\ud800",
    "\u202e",
    "\x00",
]
HOSTILE = st.lists(st.sampled_from(MARKUP) | st.characters(), min_size=1, max_size=12).map("".join)


def change_set(*apps: AppChanges) -> ChangeSet:
    """A change set of the channel `prod`."""
    return ChangeSet("prod", "uid", "a" * 40, apps)


def app(name: str = "web", *changes: ObjectChange, **more: object) -> AppChanges:
    """The changes of one app."""
    return AppChanges(name, "kustomize", changes, **more)  # type: ignore[arg-type]


def change(
    operation: Operation = Operation.UPDATE,
    name: str = "web",
    path: str = "data.x",
    before: str | None = '"1"',
    after: str | None = '"2"',
) -> ObjectChange:
    """One field of a ConfigMap before and after."""
    return ObjectChange(ObjectRef("", "ConfigMap", "shop", name), operation, (FieldChange(path, before, after),))


def lines(count: int, word: str = "line") -> AppChanges:
    """An app whose diff has so many lines."""
    return app(word, *(change(name=f"{word}-{number}") for number in range(count // 3)))


class Seen(HTMLParser):
    """What a browser would see: the tags in their order, and the text outside of code."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[str] = []
        self.text = ""
        self._code = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note it."""
        self.tags.append(tag)
        self.attributes += [f"{name}={value}" for name, value in attrs]
        self._code += tag in ("code", "pre")

    def handle_endtag(self, tag: str) -> None:
        """Note it."""
        self.tags.append("/" + tag)
        self._code -= tag in ("code", "pre")

    def handle_comment(self, data: str) -> None:
        """None is ever expected."""
        self.tags.append("comment")

    def handle_data(self, data: str) -> None:
        """Keep what a forge looks through for mentions and references."""
        self.text += "" if self._code else data


def seen(markdown: str) -> Seen:
    """The document as a page: CommonMark with tables, HTML let through as on a forge."""
    page = Seen()
    page.feed(MarkdownIt("commonmark", {"html": True}).enable("table").render(markdown))
    page.close()
    return page


def sample(word: str) -> Iterator[str]:
    """Each text that a pull request gets, with this word wherever a branch has a say."""
    value, text = (json.dumps(value, ensure_ascii=False) for value in (word, f"a\n{word}\nb"))
    fields = (FieldChange(word, None, value), FieldChange("data.y", value, text))
    ref = ObjectRef("", word, word, word)
    changes = [ObjectChange(ref, operation, fields) for operation in Operation]
    made = app(word, *changes, hooks=(word,), warnings=(word,), ignored=(word,), reapply=word)
    context = DiffContext(word, word, word, word, RUN, word, (word,), (word,), (word,))
    yield diff_comment(ChangeSet(word, "uid", "a" * 40, (made, made)), context)
    yield promotion_body(word, word, [PromotedCommit(word, word, word)])
    yield result_comment(ReleaseOutcome(word, word, 1.5, (word,), (word,), word, RUN))


@settings(max_examples=300)
@given(HOSTILE)
def test_no_branch_content_changes_what_a_page_is_made_of(word: str) -> None:
    """With any content the page has the tags, links and plain text that it has with harmless content."""
    for hostile, harmless in zip(sample(word), sample("x"), strict=True):
        theirs, ours = seen(hostile), seen(harmless)
        assert theirs.tags == ours.tags
        assert theirs.attributes == ours.attributes
        assert theirs.text == ours.text
        assert "@" not in theirs.text


@given(HOSTILE)
def test_every_text_can_be_sent(word: str) -> None:
    """Lone surrogates would end the request, control characters hide what is there."""
    for text in sample(word):
        assert text.encode()
        assert not re.search(r"[\x00-\x08\x0b-\x1f\u202a-\u202e\u2066-\u2069]", text)


@given(HOSTILE)
def test_no_line_can_end_its_fold(word: str) -> None:
    """Also a line that begins with it; those of change sets begin with a sign."""
    page = seen(fold("web", "1 changed", [visible(word), "```", "````"]))
    assert page.tags == ["details", "summary", "code", "/code", "/summary", "pre", "code", "/code", "/pre", "/details"]


def test_a_mention_in_a_value_stands_in_code_only() -> None:
    """A backslash before it would not help: a forge looks at the finished page."""
    page = seen(diff_comment(change_set(app("web", change(after='"@acme/everybody"'))), DiffContext("c" * 40)))
    assert "@acme/everybody" not in page.text


def test_what_is_deleted_or_made_anew_stands_before_the_diffs() -> None:
    """Nobody has to open a fold for that."""
    made = app(
        "web",
        change(Operation.PRUNE, "gone"),
        change(Operation.RECREATE, "again"),
        hooks=("Job shop/migrate",),
        ignored=("Deployment shop/web: spec.replicas",),
    )
    before, _, _ = diff_comment(change_set(made), DiffContext("c" * 40)).partition("<details>")
    assert "**Will be deleted**\n\n- `web`: `ConfigMap shop/gone`" in before
    assert "**Will be deleted and made anew**\n\n- `web`: `ConfigMap shop/again`" in before
    assert "- `web`: `Job shop/migrate`" in before
    assert "- `web`: `Deployment shop/web: spec.replicas`" in before


def test_the_head_says_what_when_and_from_where() -> None:
    """Digest, candidate, source, time, run, news and warnings."""
    context = DiffContext(
        "c" * 40,
        "main",
        "d" * 40,
        "2026-03-01T12:00:00Z",
        RUN,
        "3 files",
        ("stale",),
        ("web: data.x is new",),
        ("2 ignored",),
    )
    made = change_set(app("web", change(before='"<masked 0123>"'), warnings=("careful",)))
    text = diff_comment(made, context)
    for part in (
        "### `prod`: 0 created, 1 changed, 0 pruned, 0 unchanged",
        "candidate `cccccccccccc` of `main` at `dddddddddddd`",
        f"digest `{made.digest}`",
        "`3 files`",
        "1 values are masked",
        "`2 ignored`",
        f"computed `2026-03-01T12:00:00Z`, [run]({RUN})",
        "- `stale`",
        "- `web: careful`",
        "- `web: data.x is new`",
    ):
        assert part in text


def test_an_empty_change_set_says_so() -> None:
    """And has no folds."""
    text = diff_comment(change_set(app("web")), DiffContext("c" * 40))
    assert "Nothing would change" in text
    assert "<details>" not in text


def test_all_diffs_stand_whole_where_there_is_room() -> None:
    """Nothing is left out without need."""
    text = diff_comment(change_set(lines(30, "one"), lines(300, "two")), DiffContext("c" * 40))
    assert text.count("<details>") == 2
    assert "not shown" not in text


def test_long_diffs_are_cut_and_short_ones_stay_whole() -> None:
    """The rest is linked to the run."""
    made = change_set(lines(30_000, "long"), lines(30, "short"), lines(20_000, "longer"))
    text = diff_comment(made, DiffContext("c" * 40, run_url=RUN))
    assert LIMIT - 1_000 < len(text) <= LIMIT
    folds = text.split("<details>")[1:]
    assert [f"[The rest stands in the run.]({RUN})" in fold for fold in folds] == [True, False, True]
    assert abs(len(folds[0]) - len(folds[2])) < 200
    page = seen(text)
    assert page.tags.count("details") == page.tags.count("/details") == 3


@pytest.mark.parametrize("apps", [1, 50, 400, 3000])
@pytest.mark.parametrize("word", ["a", "`" * 900, "@" * 60, "é" * 300])
def test_the_limit_holds_for_any_number_of_apps(apps: int, word: str) -> None:
    """Also where not even the frames of all folds fit."""
    made = change_set(*(app(f"{word}{number}", change(name=word), warnings=(word,)) for number in range(apps)))
    text = diff_comment(made, DiffContext("c" * 40, run_url=RUN))
    assert len(text) <= LIMIT
    page = seen(text)
    assert page.tags.count("details") == page.tags.count("/details")


@given(st.integers(1_000, 6_000), st.lists(st.integers(0, 200), max_size=12))
def test_any_limit_is_kept(limit: int, sizes: list[int]) -> None:
    """The arithmetic of the cut, for small limits."""
    made = change_set(*(lines(size, f"app{number}") for number, size in enumerate(sizes)))
    text = diff_comment(made, DiffContext("c" * 40, run_url=RUN), limit=limit)
    assert len(text) <= limit
    page = seen(text)
    assert page.tags.count("details") == page.tags.count("/details")


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "https://x.invalid/) [y](z", "https://x.invalid/ @team", "https://x\n"]
)
def test_only_plain_addresses_become_links(url: str) -> None:
    """The address comes from configuration, and is checked all the same."""
    assert "](" not in diff_comment(change_set(), DiffContext("c" * 40, run_url=url))


def test_a_promotion_lists_commits_and_authors() -> None:
    """Since the channel's last release; a long list is cut."""
    commits = [PromotedCommit(f"{number:040x}", f"Change {number}", f"Author {number % 3}") for number in range(150)]
    body = promotion_body("prod", "main", commits)
    assert "**150 commits since the last release**" in body
    assert body.count(" by `Author") == 100
    assert "- and 50 more" in body
    assert "- `Author 2`" in body


def test_a_result_says_what_was_done_and_what_to_do_next() -> None:
    """A failed release names what was applied, what was not, and how to go on."""
    outcome = ReleaseOutcome(
        "prod", "c" * 40, 12.4, ("web: 1 changed",), ("db: not ready",), "launch release_channel", RUN
    )
    text = result_comment(outcome)
    assert text.startswith("### Release to `prod` failed\n\n`cccccccccccc`, 12 s ([run](")
    assert text.index("`db: not ready`") < text.index("`web: 1 changed`")
    assert text.endswith("Next step: `launch release_channel`")
    assert result_comment(ReleaseOutcome("prod", "c" * 40, 1)).startswith("### Release to `prod` done")
